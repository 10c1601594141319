# SPDX-License-Identifier: Apache-2.0
"""Run one case and judge it.

supervise() is the whole life of a case: it runs in a process of its own (see check_proc), starts the case,
waits for it, decides, cleans up and returns a plain dictionary that tests/check prints.  Files in the work
directory through which the shell side (common/preamble) and this side talk:

  out full daemon.log   stdout of the case; its stderr and all noise; the daemon's log
  ended                 made by _end_test: without it the case has failed
  notrun                reason of a skip (exit status 77)
  failed-step           written by the ERR trap
  cleanup               commands still to be run, one a line
  daemons               PID START-TIME of each daemon
  expect-log            extended regular expressions, one a line
  expect-exit           exit statuses other than 0 of daemons, one a line
"""
import difflib
import os
import resource
import shlex
import shutil
import signal
import subprocess
import time

import check_proc

SKIP_STATUS = 77
CRASHES = {getattr(signal, 'SIG' + n) for n in ('ABRT', 'BUS', 'FPE', 'ILL', 'QUIT', 'SEGV', 'SYS', 'TRAP')}
GRACE_SECONDS = 2
CLEANUP_SECONDS = 60
DIFF_LINES = 10
STDERR_LINES = 5


class Interrupted(Exception):
    pass


def _interrupt(_signal, _frame):
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    raise Interrupted


def _read(path):
    try:
        with open(path, encoding='utf-8', errors='replace') as f:
            return f.read()
    except FileNotFoundError:
        return ''


def _restore_signals():
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGQUIT):
        signal.signal(number, signal.SIG_DFL)


class Run:
    """One run of a case.  `env`: its environment; `limit`: seconds or None; `tests`: directory of the suite."""

    def __init__(self, case, work, env, limit, tests):
        self.case, self.work, self.env, self.limit, self.tests = case, work, env, limit, tests
        self.session = -1
        self.died = {}              # pid -> (name, wait status) of everything reaped
        self.children = []          # kept: a dropped Popen would be waited for behind our back
        self.reasons = []
        self.details = []
        self.end = None             # wait status of the case itself

    def file(self, name):
        return os.path.join(self.work, name)

    def start(self):
        for name in ('mnt', 'vol', 'sanitizer'):
            os.makedirs(self.file(name))
        os.chmod(self.file('sanitizer'), 0o1777)
        for name in ('full', 'daemon.log'):
            with open(self.file(name), 'wb') as f:
                os.fchmod(f.fileno(), 0o666)            # a daemon of another user writes there too
        os.symlink(os.path.join(self.tests, 'common'), self.file('common'))
        hard = resource.getrlimit(resource.RLIMIT_CORE)[1]
        resource.setrlimit(resource.RLIMIT_CORE, (hard, hard))
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGCHLD})
        self.session = self.spawn([self.case.path], 'out', 'wb')

    def spawn(self, arguments, out, mode):
        with open(self.file(out), mode) as stdout, open(self.file('full'), 'ab') as stderr:
            child = subprocess.Popen(
                ['/bin/bash', '-eu', *arguments], cwd=self.work, env=self.env, stdin=subprocess.DEVNULL,
                stdout=stdout, stderr=stderr, start_new_session=True, preexec_fn=_restore_signals)
        self.children.append(child)
        return child.pid

    def reap(self):
        while True:
            try:
                info = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
            except ChildProcessError:
                return
            if info is None:
                return
            name = _read(f'/proc/{info.si_pid}/comm').strip()
            self.died[info.si_pid] = (name, os.waitpid(info.si_pid, 0)[1])

    def wait(self, pid, seconds):
        """Wait for a child, reaping whatever else dies meanwhile; False when time is up."""
        deadline = None if seconds is None else time.monotonic() + seconds
        while True:
            self.reap()
            if pid in self.died:
                return True
            left = 1.0 if deadline is None else deadline - time.monotonic()
            if left <= 0:
                return False
            signal.sigtimedwait({signal.SIGCHLD}, min(left, 1.0))

    def daemons(self):
        return [(int(pid), int(start)) for pid, start, *_ in
                (line.split() for line in _read(self.file('daemons')).splitlines())]

    def leftovers(self):
        self.reap()
        return check_proc.processes(self.work, self.session, self.daemons())

    def judge(self):
        """Fill `reasons` (empty means good) and return PASS, SKIP or FAIL."""
        self.judge_end()
        skipped = self.end is not None and os.waitstatus_to_exitcode(self.end) == SKIP_STATUS
        if not skipped and not self.reasons:
            self.judge_output()
        self.judge_crashes()
        if not self.reasons:
            self.judge_leftovers()
        if not self.reasons and not skipped:
            self.judge_log()
        if self.reasons:
            return 'FAIL'
        return 'SKIP' if skipped else 'PASS'

    def judge_end(self):
        step = _read(self.file('failed-step')).strip()
        status = os.waitstatus_to_exitcode(self.end) if self.end is not None else None
        if status is None:
            victims = self.leftovers()
            with open(self.file('hang'), 'w', encoding='utf-8') as f:
                f.write(check_proc.hang_report(victims))
            self.reasons.append(f'timed out after {self.limit:g} s')
            self.details += ['still running:'] + ['  ' + p.describe() for p in victims[:DIFF_LINES]]
        elif status == SKIP_STATUS:
            if not _read(self.file('notrun')):
                self.reasons.append(f'exit status {SKIP_STATUS} without _notrun')
        elif status != 0:
            name = signal.Signals(-status).name if status < 0 else None
            self.reasons.append(f'killed by {name}' if name else f'exit status {status}')
            if step:
                self.reasons.append(step)
        elif not os.path.exists(self.file('ended')):
            self.reasons.append('ended without _end_test')
        if self.reasons:
            self.show_stderr()
            if os.path.exists(self.case.golden):
                self.diff()

    def show_stderr(self):
        noise = _read(self.file('full')).replace(self.work, '$WORK').rstrip().splitlines()[-STDERR_LINES:]
        self.details += ['end of stderr:'] + ['  ' + x for x in noise] if noise else []

    def judge_output(self):
        if not os.path.exists(self.case.golden):
            self.reasons.append('no golden output')
            self.details.append(f'if it is right: cp {shlex.quote(self.file("out"))} {shlex.quote(self.case.golden)}')
        elif self.diff():
            self.reasons.append('output differs')

    def diff(self):
        name = self.case.name + '.out'
        want, got = (_read(path).splitlines(True) for path in (self.case.golden, self.file('out')))
        lines = list(difflib.unified_diff(want, got, name, name + '.bad'))
        text = ''.join(x if x.endswith('\n') else x + '\n\\ no newline at end\n' for x in lines)
        if lines:
            with open(self.file('out.diff'), 'w', encoding='utf-8', errors='replace') as f:
                f.write(text)
            self.details += text.splitlines()[:DIFF_LINES]
        return bool(lines)

    def judge_crashes(self):
        daemons, before = {pid for pid, _ in self.daemons()}, len(self.reasons)
        expected = _read(self.file('expect-exit')).split()
        for pid, (name, status) in sorted(self.died.items()):
            if pid == self.session:
                continue
            if os.WIFSIGNALED(status) and os.WTERMSIG(status) in CRASHES:
                self.reasons.append(f'{name} (pid {pid}) died of {signal.Signals(os.WTERMSIG(status)).name}')
            elif pid in daemons and os.WIFEXITED(status) and os.WEXITSTATUS(status) != 0:
                if str(os.WEXITSTATUS(status)) in expected:
                    expected.remove(str(os.WEXITSTATUS(status)))
                    continue
                self.reasons.append(f'daemon {name} (pid {pid}) exited with status {os.WEXITSTATUS(status)}')
        self.reasons += [f'no daemon exited with status {status}' for status in expected]
        if len(self.reasons) > before:
            self.show_stderr()
        for name in sorted(os.listdir(self.work)):
            if name.startswith('core') and os.path.isfile(self.file(name)):
                with open(self.file(name), 'rb') as f:
                    if f.read(17)[::16] == b'\x7f\x04':     # ELF, e_type ET_CORE
                        self.reasons.append(f"core file '{name}'")
        for name in sorted(os.listdir(self.file('sanitizer'))):
            path = os.path.join(self.file('sanitizer'), name)
            self.reasons.append('sanitizer report')
            self.details += _read(path).splitlines()[:DIFF_LINES]

    def judge_leftovers(self):
        deadline = time.monotonic() + GRACE_SECONDS
        while (left := self.leftovers()) and time.monotonic() < deadline:
            time.sleep(0.05)
        self.reap()                 # what died after the last look
        self.judge_crashes()
        self.reasons += [f'process left: {p.describe()}' for p in left]
        self.reasons += [f'mount left: {path}' for path in check_proc.mounts(self.work)]
        self.reasons += [f'loop device left: {device}' for device in check_proc.loops(self.work)]

    def judge_log(self):
        expected = [x for x in _read(self.file('expect-log')).splitlines() if x]
        log = self.file('daemon.log')
        for line in _grep(['-vE', '-e', '^xtsfs: (error|warning|notice|info|debug): '], log):
            self.reasons.append(f'malformed line in the daemon log: {line}')
        for line in _grep(['-E', '-e', '^xtsfs: (error|warning): '], log):
            if not any(_grep(['-E', '-e', regex], None, line) for regex in expected):
                self.reasons.append(f'unexpected line in the daemon log: {line}')
        for regex in expected:
            if not _grep(['-E', '-e', regex], log):
                self.reasons.append(f"expected line not in the daemon log: '{regex}'")

    def clean(self):
        """Leave nothing of the case on the machine; its directory stays."""
        self.kill_leftovers()
        if _read(self.file('cleanup')).strip():
            script = 'for f in preamble mount backing; do . ./common/$f; done; _run_cleanups'
            if not self.wait(self.spawn(['-c', script], 'full', 'ab'), CLEANUP_SECONDS):
                self.reasons.append('cleanup timed out')
            self.kill_leftovers()
        check_proc.release(self.work)

    def kill_leftovers(self):
        deadline = time.monotonic() + 10
        while left := self.leftovers():
            if time.monotonic() > deadline:
                self.details += [f'cannot kill: {p.describe()}' for p in left]
                return
            check_proc.kill(left)
            time.sleep(0.02)


def _grep(arguments, path, text=None):
    command = ['grep', '-a', *arguments, *([path] if path else [])]
    found = subprocess.run(command, input=text + '\n' if text else None, stdout=subprocess.PIPE, text=True,
                           errors='replace', stdin=None if text else subprocess.DEVNULL, check=False)
    if found.returncode > 1:
        raise RuntimeError('grep failed: ' + shlex.join(command))
    return found.stdout.splitlines()


def _remove(work):
    shutil.rmtree(work, ignore_errors=True)
    if os.path.lexists(work):               # directories without permissions, when not root
        subprocess.run(['chmod', '-R', 'u+rwx', work], check=False, stderr=subprocess.DEVNULL)
        shutil.rmtree(work, ignore_errors=True)


def supervise(run, keep):
    """Returns the result of the case as a dictionary; the work directory stays if it failed or `keep`."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, _interrupt)
    check_proc.become_supervisor()
    begin = time.monotonic()
    verdict = 'FAIL'
    try:
        os.makedirs(run.work)
        run.start()
        if run.wait(run.session, run.limit):
            run.end = run.died[run.session][1]
        seconds = time.monotonic() - begin
        verdict = run.judge()
        run.clean()
    except Interrupted:
        seconds = time.monotonic() - begin
        run.reasons = ['interrupted']
        run.clean()
    skip_reason = ' '.join(_read(run.file('notrun')).split())
    # Never delete through a mount: not even when all was well a moment ago.
    if verdict != 'FAIL' and not run.reasons and not keep and not check_proc.mounts(run.work):
        _remove(run.work)
    return {'verdict': 'FAIL' if run.reasons else verdict, 'seconds': seconds,
            'reasons': _short(run.reasons, 10) or [skip_reason], 'details': _short(run.details, 30)}


def _short(lines, count):
    """The result goes through a pipe that nobody empties before the end."""
    return [line[:200] for line in lines[:count]]
