/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What somebody on the bus of a TPM sees: seals and unseals by the TCTI that is given, and looks for the secrets in the
 * record that TCTI_PCAP_FILE names. Run by case 434-tpm, which has a TPM.
 */
#undef NDEBUG
#include "unit.h"

#include "token/tpm2.h"

#define RECORD_MAX (1U << 20)

static struct xtsfs_secret *secret_of(uint64_t seed)
{
	struct xtsfs_secret *secret;

	assert(xtsfs_secret_new(XTSFS_TPM2_SECRET_BYTES, &secret) == 0);
	unit_random_fill(&seed, secret->data, secret->bytes);
	return secret;
}

static void look_for(const char *what, const void *data, size_t bytes, const uint8_t *record, size_t record_bytes)
{
	printf("%s: %s\n", what, memmem(record, record_bytes, data, bytes) ? "seen" : "not seen");
}

int main(int argc, char **argv)
{
	const char *path = getenv("TCTI_PCAP_FILE");
	struct xtsfs_slot_tpm2 tpm2 = {.pcr_mask = 1U << 7};
	struct xtsfs_secret *secret, *auth, *got = NULL;
	uint8_t *record = malloc(RECORD_MAX);
	char problem[256] = "";
	size_t bytes;
	FILE *file;

	if (argc != 2 || !path || !record)
		return 2;
	xtsfs_secret_allow_swap(true);
	secret = secret_of(1);
	auth = secret_of(2);
	if (xtsfs_tpm2_seal(argv[1], auth, secret, &tpm2, problem, sizeof(problem)) < 0 ||
	    xtsfs_tpm2_unseal(argv[1], auth, &tpm2, &got, problem, sizeof(problem)) < 0) {
		printf("%s\n", problem);
		return 1;
	}
	assert(got->bytes == secret->bytes && memcmp(got->data, secret->data, secret->bytes) == 0);
	file = fopen(path, "rb");
	assert(file);
	bytes = fread(record, 1, RECORD_MAX, file);
	assert(bytes > 0 && bytes < RECORD_MAX);
	fclose(file);
	look_for("the sealed object", tpm2.private, tpm2.private_bytes, record, bytes);
	look_for("the secret", secret->data, secret->bytes, record, bytes);
	look_for("what the PIN makes", auth->data, auth->bytes, record, bytes);
	xtsfs_secret_free(got);
	xtsfs_secret_free(auth);
	xtsfs_secret_free(secret);
	free(record);
	return 0;
}
