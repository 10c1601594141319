# SPDX-License-Identifier: Apache-2.0
"""What programs do to files, small enough that a run of one has some hundred writes to the disk. Each is given a Driver on a
mount with nothing in it but what the workload makes."""
import os
import threading

SIZES = (0, 1, 100, 3953, 3954, 4080, 4081, 4095, 4096, 5000, 8191, 100 << 10, 600 << 10)
GROUP = 124 * 4096


def _synced(d, name, size):
    d.create(name)
    if size:
        d.write(name, 0, d.data(size))
    d.fsync(name)


def new(d):
    """New files of many sizes, some synced."""
    for i, size in enumerate(SIZES):
        name = f'new-{size}'
        d.create(name)
        if size:
            d.write(name, 0, d.data(size))
        if i % 3 == 2:
            d.fdatasync(name)
        elif i % 3 == 1:
            d.fsync(name)
        else:
            d.fsync(name)
            d.fsync_dir()
        d.create(f'never-{size}')
        if size:
            d.write(f'never-{size}', 0, d.data(size))


def overwrite(d, held=False):
    """Synced content is written over: sectors, parts of them, the whole, the same one again."""
    names = [f'over-{size}' for size in (100, 3953, 4080, 5000, 4095, 100 << 10, 600 << 10)]
    for name in names:
        _synced(d, name, int(name[5:]))
        if held:
            d.hold(name)
    d.fsync_dir()
    for turn in range(3):
        for name in names:
            size = len(d.content(name))
            for _ in range(d.rng.randint(1, 3)):
                what = d.rng.randrange(5)
                page = d.rng.randrange((size + 4095) // 4096) * 4096
                if what == 0:
                    d.write(name, page, d.data(min(4096, size - page)))
                elif what == 1:
                    at = page + d.rng.randrange(min(4096, size - page))
                    d.write(name, at, d.data(min(d.rng.randint(1, 700), size - at)))
                elif what == 2:
                    d.write(name, page, d.data(min(4096, size - page)))
                    d.write(name, page, d.data(min(4096, size - page)))
                elif what == 3:
                    d.write(name, 0, d.data(size))
                else:
                    at = d.rng.randrange(size)
                    d.write(name, at, d.data(min(9000, size - at)))
            if d.rng.random() < 0.6:
                d.rng.choice((d.fsync, d.fdatasync))(name)


def overwrite_held(d):
    """The same with the files kept open."""
    overwrite(d, held=True)


def append(d):
    """Synced files grow, by little and by much, through the sizes where the layout changes."""
    for start in (0, 1, 100, 3900, 3953, 4000, 4070, 4090, 4096, 8100, GROUP - 50, GROUP):
        name = f'append-{start}'
        _synced(d, name, start)
        if start % 4:
            d.hold(name)
        for step in (1, 100, 60, 900, 3000, 4096, 9000):
            d.append(name, d.data(step))
            if d.rng.random() < 0.4:
                d.rng.choice((d.fsync, d.fdatasync))(name)


def truncate(d):
    """Synced files get shorter and longer."""
    for start in (100, 3900, 5000, 9000, 20000, GROUP + 9000):
        name = f'cut-{start}'
        _synced(d, name, start)
        if start % 1000 == 0:
            d.hold(name)
        for size in (start - 7, start // 2, 8192, 4096, start + 5000, 3000, 50, 12345, 0, 70, 6000):
            d.truncate(name, size)
            if d.rng.random() < 0.3:
                d.write(name, max(0, size - 10), d.data(30))
            if d.rng.random() < 0.5:
                d.fsync(name)


def holes(d):
    """Holes punched into synced files, ranges zeroed, files extended over holes and the holes filled."""
    for start in (3000, 30000, GROUP + 40000):
        for kind in ('punch', 'zero', 'extend'):
            name = f'{kind}-{start}'
            _synced(d, name, start)
            for _ in range(5):
                size = len(d.content(name))
                at = d.rng.randrange(size)
                if kind == 'punch':
                    d.punch(name, at, d.rng.randint(1, 20000))
                elif kind == 'zero':
                    d.zero_range(name, at, d.rng.randint(1, 20000))
                else:
                    d.write(name, size + d.rng.randint(1, 30000), d.data(500))
                if d.rng.random() < 0.5:
                    d.fsync(name)
                if d.rng.random() < 0.5:
                    at = d.rng.randrange(len(d.content(name)))
                    d.write(name, at, d.data(d.rng.randint(1, 6000)))
                if d.rng.random() < 0.5:
                    d.fdatasync(name)


def replace(d):
    """Renames over synced files, with and without fsync of the new one; exchange; hard links; unlink."""
    for i in range(6):
        _synced(d, f'r{i}', 3000 * i + 10)
    d.fsync_dir()
    for i in range(6):
        d.create(f'r{i}.new')
        d.write(f'r{i}.new', 0, d.data(2000 * i + 77))
        if i % 2:
            d.fsync(f'r{i}.new')
        d.rename(f'r{i}.new', f'r{i}')
        if i % 3 == 0:
            d.fsync_dir()
    d.fsync_dir()
    d.exchange('r0', 'r1')
    d.exchange('r2', 'r3')
    d.fsync_dir()
    d.link('r4', 'r4-too')
    d.fsync_dir()
    d.unlink('r4')
    d.fsync_dir()
    d.link('r5', 'r5-too')
    d.fsync('r5-too')
    d.unlink('r2')
    d.unlink('r5')
    d.fsync_dir()
    d.rename('r0', 'moved')
    d.fsync('moved')
    d.rename('r1', 'moved')
    d.fsync_dir()


def directories(d):
    """mkdir, fsync of the parent, files in it; nests; moves between directories; rmdir."""
    for i in range(4):
        d.mkdir(f'd{i}')
        if i % 2:
            d.fsync_dir()
        _synced(d, f'd{i}/f', 500 * i + 1)
        d.fsync_dir(f'd{i}')
    d.fsync_dir()
    d.mkdir('n1')
    d.mkdir('n1/n2')
    d.mkdir('n1/n2/n3')
    _synced(d, 'n1/n2/n3/deep', 5000)
    d.mkdir('m1')
    d.mkdir('m1/m2')
    d.fsync_dir('m1/m2')
    d.rename('d0/f', 'd1/g')
    d.fsync_dir('d1')
    d.fsync_dir('d0')
    d.rename('d2', 'd1/d2')
    d.fsync_dir()
    d.fsync_dir('d1')
    d.mkdir('e')
    d.fsync_dir()
    d.create('e/x')
    d.rename('d3/f', 'e/y')
    d.fsync_dir('e')
    d.rmdir('d3')
    d.fsync_dir()
    d.mkdir('empty')
    d.mkdir('full')
    _synced(d, 'full/f', 200)
    d.fsync_dir('full')
    d.fsync_dir()
    d.rename('full', 'empty')
    d.fsync_dir()
    d.unlink('empty/f')
    d.rmdir('empty')
    d.fsync_dir()
    d.mkdir('empty')
    d.fsync_dir()
    for i in range(40):  # more than the daemon syncs one by one
        d.mkdir(f'n1/many-{i}')
    d.fsync_dir('n1')


def long_names(d):
    """Names whose encrypted form does not fit a name."""
    def long(i, size=200):
        return f'{i}-' + 'l' * size
    for i in range(3):
        _synced(d, long(i), 300 * i)
    d.mkdir(long('d'))
    _synced(d, long('d') + '/' + long('f', 250), 4500)
    d.fsync_dir(long('d'))
    d.fsync_dir()
    d.rename(long(0), long(5))
    d.fsync_dir()
    d.rename(long(1), 'short')
    d.fsync_dir()
    d.rename('short', long(1))
    d.fsync_dir()
    d.create(long(6))
    d.write(long(6), 0, d.data(900))
    d.rename(long(6), long(2))
    d.fsync_dir()
    d.link(long(5), long(7))
    d.fsync_dir()
    d.exchange(long(1), long(2))
    d.fsync_dir()
    d.unlink(long(7))
    d.fsync_dir()
    d.symlink('nowhere', long(8))
    d.fsync_dir()
    d.rename(long('d'), long('e'))
    d.fsync_dir()
    d.rename(long('e') + '/' + long('f', 250), long(9))
    d.fsync_dir(long('e'))
    d.fsync_dir()
    d.unlink(long(1))
    d.create(long(1))
    d.fsync(long(1))


def attributes(d):
    """Symbolic links, extended attributes, modes, times."""
    _synced(d, 'a', 100)
    d.mkdir('ad')
    d.symlink('a', 'link')
    d.symlink('x' * 700, 'long-link')
    d.fsync_dir()
    for turn in range(4):
        for name in ('a', 'ad'):
            sync = d.fsync if name == 'a' else d.fsync_dir
            d.setxattr(name, 'user.one', d.data(20))
            d.setxattr(name, 'user.big', d.data(1500))
            d.setxattr(name, 'user.' + 'n' * 200, b'long name')
            sync(name)
            d.chmod(name, 0o600 + turn if name == 'a' else 0o700 + turn)
            sync(name)
            d.removexattr(name, 'user.one')
            d.setxattr(name, 'user.big', d.data(1600))
            if turn % 2:
                sync(name)
        d.utimens('a', 10**18 + turn * 1000000007)
        d.fsync('a')
        d.append('a', d.data(1500), os.O_SYNC)
        d.utimens('a', 11 * 10**17 + turn)
        d.fsync('a')
    d.unlink('link')
    d.symlink('elsewhere', 'link')
    d.fsync_dir()


def database(d):
    """As databases with a rollback journal do, and with a write-ahead log."""
    _synced(d, 'db', 10 * 4096)
    d.fsync_dir()
    d.hold('db')
    for _ in range(6):
        d.create('db-journal')
        pages = sorted(d.rng.sample(range(10), 3))
        for page in pages:
            d.append('db-journal', d.content('db')[page * 4096:page * 4096 + 4096] + d.data(8))
        d.fsync('db-journal')
        d.fsync_dir()
        for page in pages:
            d.write('db', page * 4096, d.data(4096))
        d.fsync('db')
        d.unlink('db-journal')
        d.fsync_dir()
    _synced(d, 'wal', 32)
    d.hold('wal')
    for turn in range(12):
        d.append('wal', d.data(24))
        d.append('wal', d.data(4096))
        if turn % 2:
            d.fdatasync('wal')
        if turn % 6 == 5:
            for page in range(4):
                d.write('db', page * 4096, d.data(4096))
            d.fdatasync('db')
            d.write('wal', 0, d.data(32))
            d.fdatasync('wal')


def maildir(d):
    """Write to tmp, fsync, rename to new, fsync of the directory."""
    for name in ('tmp', 'new', 'cur'):
        d.mkdir(name)
    d.fsync_dir()
    for i in range(10):
        _synced(d, f'tmp/{i}', d.rng.choice((300, 2000, 9000, 40000)))
        d.rename(f'tmp/{i}', f'new/{i}')
        d.fsync_dir('new')
        if i % 2:
            d.rename(f'new/{i}', f'cur/{i}:2,S')
            d.fsync_dir('cur')
        if i % 4 == 3:
            d.unlink(f'cur/{i}:2,S')
            d.fsync_dir('cur')


def sync_writes(d):
    """O_SYNC, O_DSYNC, and sync_file_range, which promises nothing by itself."""
    for i, flags in enumerate((os.O_SYNC, os.O_DSYNC)):
        name = f's{i}'
        d.create(name)
        d.fsync(name)
        d.fsync_dir()
        for _ in range(12):
            size = len(d.content(name))
            if d.rng.random() < 0.5:
                d.append(name, d.data(d.rng.choice((10, 500, 4096, 7000))), flags)
            elif size:
                at = d.rng.randrange(size)
                d.write(name, at, d.data(min(d.rng.choice((5, 4096, 9000)), size - at)), flags)
            if size and d.rng.random() < 0.4:
                d.write(name, d.rng.randrange(size), d.data(100))
    _synced(d, 'range', 50000)
    d.hold('range')
    for i in range(6):
        at = d.rng.randrange(45000)
        d.write('range', at, d.data(5000))
        d.sync_file_range('range', at, 5000)
    d.fdatasync('range')


def two_threads(d):
    """Two threads make directories and files and sync at once; the main thread waits."""
    failed = []

    def work(which):
        try:
            d.mkdir(f't{which}')
            for i in range(8):
                base = f't{which}/{i}'
                d.mkdir(base)
                _synced(d, f'{base}/f', 100 + 3000 * (i % 3))
                if i % 2:
                    d.fsync_dir(base)
                d.write(f'{base}/f', 0, bytes(50))
                d.fsync(f'{base}/f')
        except BaseException as e:
            failed.append(e)
    threads = [threading.Thread(target=work, args=(n,)) for n in range(2)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    if failed:
        raise failed[0]


def syncfs(d):
    """Promises of syncfs(2)."""
    for i in range(5):
        d.mkdir(f'y{i}')
        d.create(f'y{i}/f')
        d.write(f'y{i}/f', 0, d.data(1000 + 5000 * i))
        d.syncfs()
        d.write(f'y{i}/f', 0, d.data(500))
        d.append(f'y{i}/f', d.data(3000))
        d.syncfs()


def keys(d):
    """Keyslots are added, changed and removed, and a header backup put back, while the volume is mounted and in use."""
    _synced(d, 'k', 5000)
    change = d.change_keys
    if not change:
        return  # nothing with keyslots
    d.secrets(['one', 'two'], lambda: change('slot', 'add', '--passfile', 'one', '--new-passfile', 'two'))
    d.write('k', 0, d.data(100))
    change('header', 'backup')
    d.secrets(['three', 'two'], lambda: change('passwd', '--passfile', 'one', '--new-passfile', 'three'))
    d.fsync('k')
    d.secrets(['three'], lambda: change('slot', 'remove', '--slot', '1', '--passfile', 'three'))
    d.commit()
    # A restore wants the volume for itself.
    d.after_unmount = lambda: d.secrets(['one', 'two'], lambda: change('header', 'restore', '--passfile', 'two'))


def repair(d):
    """The daemon is killed in the midst of changes, and the repair of what it left is recorded too."""
    sizes = (100, 3900, 5000, 4090, 60000, GROUP + 5000)
    for size in sizes:
        _synced(d, f'p{size}', size)
        d.hold(f'p{size}')
    d.mkdir('pd')
    d.fsync_dir()
    for size in sizes:
        name = f'p{size}'
        d.write(name, d.rng.randrange(size), d.data(60))
        d.append(name, d.data(700))
        if size > 5000:
            d.punch(name, 8192, 9000)
        d.sync_file_range(name, 0, 0)  # the daemon has it; nothing is promised
        if size == 60000:
            d.fsync(name)
    d.mkdir('pd/new')
    d.create('pd/new/empty')
    d.release_all()
    if d.kill_and_repair:
        d.kill_and_repair()
    for size in sizes:
        d.write(f'p{size}', 0, d.data(50))
        d.fsync(f'p{size}')
    d.fsync_dir('pd/new')


WORKLOADS = {f.__name__.replace('_', '-'): f for f in (
    new, overwrite, overwrite_held, append, truncate, holes, replace, directories, long_names, attributes, database, maildir,
    sync_writes, two_threads, syncfs, keys, repair)}

NOT_FUSE = ('syncfs',)  # the kernel does not tell a FUSE daemon of it

CALLS = ('create', 'write', 'append', 'truncate', 'punch', 'zero_range', 'fsync', 'fdatasync', 'fsync_dir', 'syncfs', 'mkdir',
         'symlink', 'link', 'unlink', 'rmdir', 'rename', 'exchange', 'chmod', 'hold', 'release', 'commit')


def script(text):
    """Calls one by one: "create f; write f 0 5000; fsync f; commit". Data is random; commit is another program's fsync."""
    calls = []
    for words in (part.split() for part in text.split(';')):
        if words and words[0] not in CALLS:
            raise ValueError(f'no call {words[0]}; there are {" ".join(CALLS)}')
        if words:
            calls.append((words[0], [int(w) if w.isdigit() else w for w in words[1:]]))

    def run(d):
        d.shaking = False
        for name, arguments in calls:
            if name in ('write', 'append'):
                arguments = arguments[:-1] + [d.data(arguments[-1])]
            getattr(d, name)(*arguments)
    return run
