/* SPDX-License-Identifier: Apache-2.0 */
/*
 * copy_file_range, sendfile, splice, tee, vmsplice, FICLONE.
 */
#include "parity.h"

#include <limits.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <sys/sendfile.h>
#include <sys/uio.h>

SEQ(copy, between_files, "copy_file_range")
{
	off_t in, out;
	int a, b;

	mk("a", 100000);
	a = op("a", O_RDONLY);
	b = op("b", O_CREAT | O_RDWR);
	R(copy_file_range(a, NULL, b, NULL, 50000, 0));
	R(lseek(a, 0, SEEK_CUR));
	R(lseek(b, 0, SEEK_CUR));
	in = 10;
	out = 70000;
	R(copy_file_range(a, &in, b, &out, 1000, 0));
	V(in);
	V(out);
	R(lseek(a, 0, SEEK_CUR));
	in = 99990;
	R(copy_file_range(a, &in, b, NULL, 1000, 0));
	in = 100000;
	R(copy_file_range(a, &in, b, NULL, 1000, 0));
	in = 200000;
	R(copy_file_range(a, &in, b, NULL, 1000, 0));
	R(copy_file_range(a, NULL, b, NULL, 0, 0));
	CF(b);
}

SEQ(copy, errors, "copy_file_range")
{
	off_t in = -1;
	int r, w, d, ap, fds[2];

	mk("a", 10000);
	mkd("d", 0755);
	r = op("a", O_RDONLY);
	w = op("b", O_CREAT | O_WRONLY);
	d = op("d", O_RDONLY);
	ap = op("b", O_WRONLY | O_APPEND);
	N(pipe(fds));
	R(copy_file_range(w, NULL, w, NULL, 10, 0));
	R(copy_file_range(r, NULL, r, NULL, 10, 0));
	R(copy_file_range(r, NULL, ap, NULL, 10, 0));
	R(copy_file_range(r, NULL, d, NULL, 10, 0));
	R(copy_file_range(d, NULL, w, NULL, 10, 0));
	R(copy_file_range(r, NULL, fds[1], NULL, 10, 0));
	R(copy_file_range(r, NULL, w, NULL, 10, 1));
	R(copy_file_range(r, &in, w, NULL, 10, 0));
	R(copy_file_range(r, NULL, w, NULL, SIZE_MAX, 0));
	S("b");
}

SEQ(copy, past_the_largest_size, "copy_file_range")
{
	off_t out = INT64_MAX - 5;
	int r, w;

	mk("a", 10000);
	r = op("a", O_RDONLY);
	w = op("b", O_CREAT | O_WRONLY);
	R(copy_file_range(r, NULL, w, &out, 100, 0));
	R(ftruncate(w, 0));
}

SEQ(copy, same_file, "copy_file_range")
{
	off_t in = 0, out = 50000;
	int fd, other;

	mk("a", 20000);
	fd = op("a", O_RDWR);
	other = op("a", O_RDWR);
	R(copy_file_range(fd, &in, fd, &out, 10000, 0));
	in = 0;
	out = 5000;
	R(copy_file_range(fd, &in, fd, &out, 10000, 0));
	in = 0;
	out = 5000;
	R(copy_file_range(fd, &in, other, &out, 10000, 0));
	in = 5000;
	out = 5000;
	R(copy_file_range(fd, &in, fd, &out, 10, 0));
	in = 0;
	out = 10000;
	R(copy_file_range(fd, &in, other, &out, 10000, 0));
	CF(fd);
}

SEQ(copy, holes, "copy_file_range")
{
	int a, b;

	a = op("a", O_CREAT | O_RDWR);
	N(ftruncate(a, 500000));
	N(pwrite(a, "middle", 6, 250000));
	b = op("b", O_CREAT | O_RDWR);
	R(copy_file_range(a, NULL, b, NULL, 500000, 0));
	CF(b);
	SF(b);
}

SEQ(copy, unwritten_data, "copy_file_range write")
{
	off_t in = 0;
	int a = op("a", O_CREAT | O_RDWR), b = op("b", O_CREAT | O_RDWR);

	fill(big, 300000, 3);
	N(write(a, big, 300000));
	N(write(b, "dirty pages behind it", 21));
	R(copy_file_range(a, &in, b, NULL, 300000, 0));
	CF(b);
	N(pwrite(a, "changed", 7, 100));
	in = 0;
	N(lseek(b, 0, SEEK_SET));
	R(copy_file_range(a, &in, b, NULL, 1000, 0));
	CF(b);
}

SEQ(copy, sendfile, "sendfile")
{
	off_t at = 5;
	int a, b, fds[2];

	mk("a", 100000);
	a = op("a", O_RDONLY);
	b = op("b", O_CREAT | O_RDWR);
	R(sendfile(b, a, NULL, 50000));
	R(sendfile(b, a, &at, 50000));
	V(at);
	R(sendfile(b, a, NULL, 1000000));
	R(sendfile(b, a, NULL, 10));
	CF(b);
	N(pipe(fds));
	R(sendfile(fds[1], a, &at, 5000));
	R(read(fds[0], big, 10000));
	R(sendfile(a, b, NULL, 10));
	b = op("b", O_WRONLY | O_APPEND);
	R(sendfile(b, a, NULL, 10));
	at = -1;
	R(sendfile(b, a, &at, 10));
}

SEQ(copy, splice, "splice tee")
{
	off_t at = 100;
	int a, b, fds[2], more[2];

	mk("a", 100000);
	a = op("a", O_RDONLY);
	b = op("b", O_CREAT | O_RDWR);
	N(pipe(fds));
	N(pipe(more));
	R(splice(a, &at, fds[1], NULL, 10000, 0));
	V(at);
	R(tee(fds[0], more[1], 10000, 0));
	R(splice(fds[0], NULL, b, NULL, 10000, SPLICE_F_MOVE));
	at = 30000;
	R(splice(more[0], NULL, b, &at, 10000, 0));
	CF(b);
	R(splice(a, NULL, b, NULL, 10, 0));
	R(splice(a, &at, fds[1], &at, 10, 0));
	at = 200000;
	R(splice(a, &at, fds[1], NULL, 10, 0));
	b = op("b", O_WRONLY | O_APPEND);
	N(write(fds[1], "x", 1));
	R(splice(fds[0], NULL, b, NULL, 1, 0));
}

SEQ(copy, vmsplice, "vmsplice splice")
{
	struct iovec iov = {big, 8192};
	int fds[2], fd = op("f", O_CREAT | O_RDWR);

	fill(big, 8192, 8);
	N(pipe(fds));
	R(vmsplice(fds[1], &iov, 1, 0));
	R(splice(fds[0], NULL, fd, NULL, 8192, 0));
	CF(fd);
}

SEQ(copy, spliced_page_is_a_copy, "splice write")
{
	off_t at = 0;
	int fds[2], fd;

	mk("a", 4096);
	fd = op("a", O_RDWR);
	N(pipe(fds));
	R(splice(fd, &at, fds[1], NULL, 4096, 0));
	R(ftruncate(fd, 0));
	R(read(fds[0], big, 4096));
	SF(fd);
}

SEQ(copy, clone, "ioctl:FICLONE")
{
	struct file_clone_range range = {.src_length = 4096};
	int a, b, d;

	mk("a", 8192);
	mkd("d", 0755);
	a = op("a", O_RDONLY);
	b = op("b", O_CREAT | O_RDWR);
	d = op("d", O_RDONLY);
	range.src_fd = a;
	R(ioctl(b, FICLONE, a));
	R(ioctl(b, FICLONERANGE, &range));
	R(ioctl(a, FICLONE, b));
	R(ioctl(d, FICLONE, a));
	SF(b);
}

SEQ(copy, dedupe, "ioctl:FIDEDUPERANGE")
{
	static union {
		struct file_dedupe_range range;
		char room[sizeof(struct file_dedupe_range) + sizeof(struct file_dedupe_range_info)];
	} arg;
	int a, b;

	mk("a", 8192);
	mk("b", 8192);
	a = op("a", O_RDWR);
	b = op("b", O_RDWR);
	arg.range.src_length = 4096;
	arg.range.dest_count = 1;
	arg.range.info[0].dest_fd = b;
	R(ioctl(a, FIDEDUPERANGE, &arg));
	V(arg.range.info[0].status);
}
