/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The engine "kernel": AES-256-XTS by the Linux kernel crypto API, through AF_ALG and libkcapi.
 *
 * A TFM is a handle that was initialised with "xts(aes)" and given the key once. From then on the key is in the kernel
 * only: libkcapi passes it to setsockopt() and keeps nothing, and the caller wipes its copy. An OP is a further handle
 * on the same TFM, made with kcapi_handle_reinit(); it has its own socket, so OPs of one TFM work in parallel, and the
 * TFM's own handle is never used to encrypt. All of this was observed with libkcapi 1.4.0 on Linux 6.12:
 *
 * - Exactly the name "xts(aes)": a driver's name (xts-aes-aesni) is no name for bind() where the administrator allows a
 *   list, and the generic name already selects the fastest driver.
 * - One sector for each call, never more than 4096 bytes, as much output as input, and sendmsg: one operation has one
 *   IV, and past 64 KiB the library silently goes on with the same one; with more output than input the call blocks for
 *   ever, with less the rest is given to the next call; the splicing modes take more system calls for less. So a sector
 *   is a sendmsg and a read, and no queueing of several can save one.
 * - kcapi_handle_reinit() opens a pipe at once and accepts the socket at the first operation: op_new() makes one dummy
 *   operation, so that a lack of descriptors shows there and not in somebody's read.
 * - A result that is short, or an error, leaves data queued in the socket: that OP must not be used again (pool.c).
 * - A handle whose init failed must not be touched again; reinit of one crashes.
 * - Init returns -errno of the socket calls. setkey takes 48 bytes (AES-192) and equal halves: both are excluded here.
 * - The library writes to stderr unless told not to.
 *
 * Descriptors: libkcapi opens sockets and pipes without CLOEXEC, and a child that inherits the socket of an OP could
 * decrypt with the content key. The library does not say which descriptors it opened, so after it did, every descriptor
 * from 3 up is marked close-on-exec. This process opens all of its own that way in any case. What remains is a child
 * that another thread starts within those microseconds: handles are made before the mount is served and after a
 * failure, and fusermount3 runs before and after that.
 *
 * A child of fork() shares the kernel's state of the handles it inherits: make a TFM after the last fork.
 */
#include "crypto/engine.h"

#include "base/cleanup.h"
#include "crypto/engine-common.h"

#include <dirent.h>
#include <fcntl.h>
#include <kcapi.h>
#include <linux/close_range.h>
#include <stdlib.h>
#include <unistd.h>

struct xtsfs_tfm {
	struct kcapi_handle *handle; /* holds the reference to the kernel's TFM; makes no operations */
};

struct xtsfs_op {
	struct kcapi_handle *handle;
};

static void close_on_exec_one_by_one(void)
{
	DIR *dir = opendir("/proc/self/fd");
	struct dirent *entry;

	if (!dir)
		return;
	while ((entry = readdir(dir))) {		       /* NOLINT(concurrency-mt-unsafe): a stream of its own */
		int fd = (int)strtol(entry->d_name, NULL, 10); /* "." and "..": 0 */
		int flags = fd > STDERR_FILENO ? fcntl(fd, F_GETFD) : -1;

		if (flags >= 0)
			(void)fcntl(fd, F_SETFD, flags | FD_CLOEXEC);
	}
	closedir(dir);
}

/* Old kernels do not know the call or the flag, and some containers refuse what they do not know. */
static void close_on_exec_all(void)
{
	if (close_range(STDERR_FILENO + 1, ~0U, CLOSE_RANGE_CLOEXEC) < 0)
		close_on_exec_one_by_one();
}

static void tfm_free(struct xtsfs_tfm *tfm)
{
	if (!tfm)
		return;
	kcapi_cipher_destroy(tfm->handle);
	free(tfm);
}

static int tfm_new(const uint8_t key[static XTSFS_XTS_KEY_BYTES], struct xtsfs_tfm **ret_tfm)
{
	struct xtsfs_tfm *tfm;
	int r;

	if (xtsfs_xts_key_is_weak(key))
		return -EINVAL;
	kcapi_set_verbosity(KCAPI_LOG_NONE);
	tfm = calloc(1, sizeof(*tfm));
	if (!tfm)
		return -ENOMEM;
	r = kcapi_cipher_init(&tfm->handle, "xts(aes)", 0);
	if (r != 0) {
		free(tfm); /* the handle is not ours: init released what it had */
		return r < 0 ? r : -EIO;
	}
	close_on_exec_all();
	if (kcapi_cipher_ivsize(tfm->handle) != XTSFS_XTS_TWEAK_BYTES)
		r = -ELIBBAD;
	if (r == 0)
		r = kcapi_cipher_setkey(tfm->handle, key, XTSFS_XTS_KEY_BYTES);
	if (r != 0) {
		tfm_free(tfm);
		return r < 0 ? r : -EIO;
	}
	*ret_tfm = tfm;
	return 0;
}

static void op_free(struct xtsfs_op *op)
{
	if (!op)
		return;
	kcapi_cipher_destroy(op->handle);
	free(op);
}

/* One sector; 0, -errno, or -EIO for a short result. */
static int crypt_sector(struct xtsfs_op *op, enum xtsfs_direction direction, const struct xtsfs_sectors *sector)
{
	ssize_t n;

	if (direction == XTSFS_ENCRYPT)
		n = kcapi_cipher_encrypt(op->handle, sector->in, sector->bytes, sector->tweak, sector->out,
					 sector->bytes, KCAPI_ACCESS_SENDMSG);
	else
		n = kcapi_cipher_decrypt(op->handle, sector->in, sector->bytes, sector->tweak, sector->out,
					 sector->bytes, KCAPI_ACCESS_SENDMSG);
	if (n < 0)
		return (int)n;
	return (size_t)n == sector->bytes ? 0 : -EIO;
}

static int crypt_run(struct xtsfs_op *op, enum xtsfs_direction direction, const struct xtsfs_run *run)
{
	struct xtsfs_sectors sectors;
	int r = 0;

	for (xtsfs_sectors_begin(&sectors, run); r == 0 && sectors.bytes; xtsfs_sectors_next(&sectors))
		r = crypt_sector(op, direction, &sectors);
	return r;
}

static int op_new(struct xtsfs_tfm *tfm, struct xtsfs_op **ret_op)
{
	/* A dummy block; its result goes nowhere. */
	uint8_t block[16] = {0};
	const struct xtsfs_run warm_up = {
		.in = block, .out = block, .bytes = sizeof(block), .sector_bytes = sizeof(block)};
	struct xtsfs_op *op = calloc(1, sizeof(*op));
	int r;

	if (!op)
		return -ENOMEM;
	r = kcapi_handle_reinit(&op->handle, tfm->handle, 0);
	if (r != 0) {
		free(op);
		return r < 0 ? r : -EIO;
	}
	r = crypt_run(op, XTSFS_ENCRYPT, &warm_up);
	close_on_exec_all();
	if (r < 0) {
		op_free(op);
		return r;
	}
	*ret_op = op;
	return 0;
}

const struct xtsfs_engine xtsfs_engine_kernel = {
	.name = "kernel",
	.tfm_new = tfm_new,
	.tfm_free = tfm_free,
	.op_new = op_new,
	.op_free = op_free,
	.crypt = crypt_run,
};
