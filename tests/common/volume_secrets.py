# SPDX-License-Identifier: Apache-2.0
"""What nobody may find of a volume, derived by the independent decoder: {name: [bytes]}."""
import os
import sys

sys.path.insert(0, os.environ['TESTS'] + '/reference')
from ref_conf import Conf  # pylint: disable=wrong-import-position
from ref_crypto import Keys  # pylint: disable=wrong-import-position


def secrets_of(volume, passfile):
    with open(passfile, 'rb') as file:
        passphrase = file.read().rstrip(b'\n')
    with open(volume + '/xtsfs.conf', 'rb') as file:
        conf = Conf(file.read())
    key = conf.unlock('passphrase', passphrase)
    keys = Keys(key, conf.uuid, conf.integrity, conf.content_keys)
    return {
        'passphrase': [passphrase],
        'volume key': [key],
        'config key': [Keys.config_key(key, conf.uuid)],
        'content keys': [k[i:i + 32] for n in range(conf.content_keys) for k in [keys.content_key(n)] for i in (0, 32)],
        'other keys': [k[i:i + 32] for k in (keys.name, keys.symlink, keys.xattr, keys.sector_mac_key, keys.meta_mac_key) for i in (0, 32)],
    }
