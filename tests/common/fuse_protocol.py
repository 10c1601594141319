# SPDX-License-Identifier: Apache-2.0
"""What the kernel's FUSE can do, for tests that run outside of tests/check."""
import os
import re
import subprocess
import threading
import time

SEEK_OF_WRITTEN = 44    # from here on the daemon can answer SEEK_DATA and SEEK_HOLE of files that are open for writing


def fuse_minor(build, volume, mountpoint, passfile):
    """The kernel's version of the protocol, 7.N: said in a trial mount."""
    daemon = subprocess.Popen([f'{build}/xtsfs', volume, mountpoint, '-d', '-o', f'passfile={passfile}'], stdin=subprocess.DEVNULL,
                              stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, errors='replace')
    minor = next((int(found[1]) for found in map(re.compile(r'INIT: 7\.(\d+)').search, daemon.stderr) if found), 0)
    while not os.path.ismount(mountpoint) and daemon.poll() is None:
        time.sleep(0.01)
    threading.Thread(target=daemon.stderr.read, daemon=True).start()
    unmounted = subprocess.run(['umount', mountpoint], check=False).returncode == 0
    if daemon.wait(60) or not minor or not unmounted:
        raise SystemExit('the trial mount failed')
    return minor
