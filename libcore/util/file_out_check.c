/* SPDX-License-Identifier: MIT */
#include "util/file.h"

#include <check.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

Suite *file_out_suite(void);

static char home[64];

static void enter(void)
{
	strcpy(home, "/tmp/clm-out-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(home));
	ck_assert_int_eq(chdir(home), 0);
}

static void leave(void)
{
	char command[128] = "rm -rf ";

	ck_assert_int_eq(chdir("/"), 0);
	ck_assert_int_eq(system(strcat(command, home)), 0);
}

static void put(const char *path, const char *text)
{
	struct file_out *o;
	struct err e;

	ck_assert_int_eq(file_out_open(&o, path, &e), 0);
	ck_assert_int_eq(file_out_write(o, text, strlen(text), &e), 0);
	ck_assert_int_eq(file_out_commit(o, &e), 0);
}

static void check_text(const char *path, const char *text)
{
	struct buf b = { 0 };
	struct err e;

	ck_assert_int_eq(file_read(&b, path, 0, &e), 0);
	ck_assert_str_eq(b.p ? (char *)b.p : "", text);
	buf_release(&b);
}

static size_t n_names(const char *dir)
{
	struct arena a = { 0 };
	struct err e;
	size_t n = 0;

	ck_assert_ptr_nonnull(file_list(&a, dir, &n, &e));
	arena_release(&a);
	return n;
}

static mode_t mode_of(const char *path)
{
	struct stat st;

	ck_assert_int_eq(stat(path, &st), 0);
	return st.st_mode & 0777;
}

START_TEST(appears_whole)
{
	static unsigned char big[200000];
	struct file_out *o;
	struct file_map m;
	struct err e;

	memset(big, 'x', sizeof big);
	ck_assert_int_eq(file_out_open(&o, "out", &e), 0);
	ck_assert_int_eq(file_out_write(o, "0123456789", 10, &e), 0);
	ck_assert_int_eq(file_out_write(o, big, sizeof big, &e), 0);
	for (int i = 0; i < 70000; i++)
		ck_assert_int_eq(file_out_write(o, "y", 1, &e), 0);
	ck_assert_int_eq(file_out_patch(o, 2, "ab", 2, &e), 0);
	ck_assert_int_eq(file_out_write(o, "z", 1, &e), 0);
	ck_assert_uint_eq(file_out_at(o), 270011);
	ck_assert_int_eq(file_out_patch(o, 270010, "Z", 1, &e), 0);
	ck_assert(!file_exists("out") && file_exists(file_out_temp(o)));
	ck_assert_int_eq(file_out_commit(o, &e), 0);
	ck_assert_uint_eq(n_names("."), 1);
	ck_assert_int_eq(file_map(&m, "out", &e), 0);
	ck_assert_uint_eq(m.bytes.n, 270011);
	ck_assert_mem_eq(m.bytes.p, "01ab456789xx", 12);
	ck_assert_mem_eq(m.bytes.p + 270008, "yyZ", 3);
	file_unmap(&m);
}
END_TEST

START_TEST(or_not_at_all)
{
	struct file_out *o;
	struct err e = { 0 };

	put("out", "old");
	ck_assert_int_eq(file_out_open(&o, "out", &e), 0);
	ck_assert_int_eq(file_out_write(o, "new", 3, &e), 0);
	file_out_abort(o);
	file_out_abort(NULL);
	check_text("out", "old");
	ck_assert_uint_eq(n_names("."), 1);
	ck_assert_int_eq(file_out_open(&o, "no/such/dir", &e), -1);
	ck_assert_ptr_null(o);
	ck_assert_int_eq(file_out_open(&o, ".", &e), -1);
	ck_assert_str_eq(e.text, "is a directory");
}
END_TEST

START_TEST(modes_links_and_long_names)
{
	char name[256];

	umask(027);
	put("new", "1");
	ck_assert_uint_eq(mode_of("new"), 0640);
	ck_assert_int_eq(chmod("new", 0604), 0);
	ck_assert_int_eq(symlink("new", "link"), 0);
	put("link", "2"); /* goes through the link, keeps the mode */
	check_text("new", "2");
	ck_assert_uint_eq(mode_of("new"), 0604);
	memset(name, 'n', 255);
	name[255] = '\0';
	put(name, "3");
	check_text(name, "3");
	ck_assert_uint_eq(n_names("."), 3);
}
END_TEST

START_TEST(what_is_no_regular_file_is_written_to)
{
	struct file_out *o;
	struct stat st;
	struct err e;
	char text[8] = "";
	int fd;

	ck_assert_int_eq(mkfifo("fifo", 0600), 0);
	fd = open("fifo", O_RDWR | O_CLOEXEC);
	ck_assert_int_eq(file_out_open(&o, "fifo", &e), 0);
	ck_assert_ptr_null(file_out_temp(o));
	ck_assert_int_eq(file_out_write(o, "abc", 3, &e), 0);
	ck_assert_int_eq(file_out_commit(o, &e), 0);
	ck_assert_int_eq(read(fd, text, sizeof text), 3);
	ck_assert_str_eq(text, "abc");
	close(fd);
	ck_assert(stat("fifo", &st) == 0 && S_ISFIFO(st.st_mode));
	put("/dev/null", "abc");
	ck_assert(stat("/dev/null", &st) == 0 && S_ISCHR(st.st_mode));
}
END_TEST

START_TEST(a_full_disk)
{
	struct file_out *o;
	struct err e = { 0 };

	if (!file_exists("/dev/full"))
		return;
	ck_assert_int_eq(file_out_open(&o, "/dev/full", &e), 0);
	ck_assert_int_eq(file_out_write(o, "abc", 3, &e), 0);
	ck_assert_int_eq(file_out_commit(o, &e), -1);
	ck_assert_str_eq(e.text, "cannot write: No space left on device");
	ck_assert_int_eq(e.kind, ERR_MACHINE);
}
END_TEST

START_TEST(directories)
{
	struct dir_out *d;
	struct arena a = { 0 };
	struct err e = { 0 };

	for (int round = 0; round < 2; round++) {
		ck_assert_int_eq(dir_out_open(&d, "model/", &e), 0);
		ck_assert_int_eq(file_exists("model"), round);
		put(file_join(&a, dir_out_temp(d), "config.json", &e), round ? "new" : "old");
		ck_assert_int_eq(file_mkdirs(file_join(&a, dir_out_temp(d), "sub", &e), &e), 0);
		put(file_join(&a, dir_out_temp(d), round ? "sub/b" : "sub/a", &e), "x");
		ck_assert_int_eq(dir_out_commit(d, &e), 0);
		put("model/mine", "kept");
	}
	check_text("model/config.json", "new");
	check_text("model/mine", "kept");
	ck_assert_uint_eq(n_names("model/sub"), 2);
	ck_assert_uint_eq(n_names("."), 1);

	ck_assert_int_eq(dir_out_open(&d, "other", &e), 0);
	ck_assert_int_eq(file_mkdirs(file_join(&a, dir_out_temp(d), "x/y", &e), &e), 0);
	put(file_join(&a, dir_out_temp(d), "x/y/z", &e), "gone");
	dir_out_abort(d);
	dir_out_abort(NULL);
	ck_assert_uint_eq(n_names("."), 1);
	ck_assert_int_eq(dir_out_open(&d, "model/mine", &e), -1);
	ck_assert_str_eq(e.text, "exists and is no directory");
	arena_release(&a);
}
END_TEST

static void on_signal(int signal)
{
	file_out_sweep();
	_exit(100 + signal);
}

START_TEST(a_signal_leaves_nothing_behind)
{
	struct file_out *o[20], *kept;
	struct dir_out *d;
	struct arena a = { 0 };
	struct err e;
	int status;
	pid_t child;

	ck_assert_int_eq(file_out_open(&kept, "parents", &e), 0);
	child = fork();
	if (child == 0) {
		signal(SIGTERM, on_signal);
		for (int i = 0; i < 20; i++) {
			char name[8] = { 'f', (char)('a' + i) };

			if (file_out_open(&o[i], name, &e) || file_out_write(o[i], "x", 1, &e))
				_exit(1);
		}
		if (file_out_commit(o[3], &e) || dir_out_open(&d, "dir", &e) ||
		    file_mkdirs(file_join(&a, dir_out_temp(d), "x/y", &e), &e))
			_exit(2);
		put(file_join(&a, dir_out_temp(d), "x/y/z", &e), "z");
		raise(SIGTERM);
		_exit(3);
	}
	ck_assert_int_eq(waitpid(child, &status, 0), child);
	ck_assert(WIFEXITED(status) && WEXITSTATUS(status) == 100 + SIGTERM);
	ck_assert(file_exists("fd") && file_exists(file_out_temp(kept)));
	ck_assert_uint_eq(n_names("."), 2);
	file_out_abort(kept);
}
END_TEST

Suite *file_out_suite(void)
{
	Suite *s = suite_create("file_out");
	TCase *t = tcase_create("file_out");

	tcase_add_checked_fixture(t, enter, leave);
	tcase_add_test(t, appears_whole);
	tcase_add_test(t, or_not_at_all);
	tcase_add_test(t, modes_links_and_long_names);
	tcase_add_test(t, what_is_no_regular_file_is_written_to);
	tcase_add_test(t, a_full_disk);
	tcase_add_test(t, directories);
	tcase_add_test(t, a_signal_leaves_nothing_behind);
	suite_add_tcase(s, t);
	return s;
}
