/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Sentences for errors.
 *
 * The aliases of errors.h borrow an errno whose own text would mislead ("Key was rejected by service" for a wrong
 * passphrase), so they get sentences of ours. All others get the C library's untranslated text with a small first
 * letter, since messages read "cannot open 'x': no such file or directory". strerror() formats into a buffer that
 * other threads share; here every text is in a table that is filled once and never changes, so a pointer stays good.
 */
#include "base/errors.h"

#include <pthread.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#define ERRORS	   256 /* Linux uses 1 to 133 */
#define TEXT_BYTES 72

static char texts[ERRORS][TEXT_BYTES];
static pthread_once_t texts_once = PTHREAD_ONCE_INIT;

static const struct {
	int error;
	const char *text;
} own_texts[] = {
	{0, "success"},
	{XTSFS_EAUTH, "authentication failed: the data was damaged or changed, or the key is another one"},
	{XTSFS_EPASS, "no keyslot opens with this passphrase or keyfile"},
	{XTSFS_EFEATURE, "it uses a feature, version or flag that this program does not know"},
	{XTSFS_EDAMAGED, "its structure is damaged"},
	{XTSFS_ESELFTEST, "the encryption engine gave a wrong known answer"},
};

static void fill_texts(void)
{
	for (int error = 0; error < ERRORS; error++) {
		const char *text = strerrordesc_np(error);
		char *own = texts[error];

		if (!text) {
			snprintf(own, TEXT_BYTES, "unknown error %d", error);
			continue;
		}
		snprintf(own, TEXT_BYTES, "%s", text);
		/* "RFS specific error" keeps its capitals. */
		if (own[0] >= 'A' && own[0] <= 'Z' && !(own[1] >= 'A' && own[1] <= 'Z'))
			own[0] = (char)(own[0] - 'A' + 'a');
	}
}

const char *xtsfs_strerror(int error)
{
	/* -error of INT_MIN would overflow; no errno is that far out. */
	if (error < 0)
		error = error > -ERRORS ? -error : ERRORS;

	for (size_t i = 0; i < sizeof(own_texts) / sizeof(own_texts[0]); i++)
		if (own_texts[i].error == error)
			return own_texts[i].text;
	if (error >= ERRORS)
		return "unknown error";

	pthread_once(&texts_once, fill_texts);
	return texts[error];
}
