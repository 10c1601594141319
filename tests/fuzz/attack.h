/* SPDX-License-Identifier: Apache-2.0 */
/* The attacker of the target `volume`: who changes backing objects, and may have kept what they were. */
#ifndef XTSFS_TEST_FUZZ_ATTACK_H
#define XTSFS_TEST_FUZZ_ATTACK_H

#include "volume.h"

enum attack_kind {
	ATTACK_EDIT,   /* what there is now, changed or moved */
	ATTACK_REPLAY, /* something from the snapshot */
	ATTACK_FORGE,  /* with the volume's key: tags made right again */
};

/** One change, as the input says. @snapshot: an earlier state, or NULL. What kind it was. */
enum attack_kind attack(struct fuzz_volume *volume, struct fuzz_input *input, const struct xtsfs_store *snapshot);

#endif
