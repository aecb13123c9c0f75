/* Files: whole-file reads, and writes that either happen or do not. */
#ifndef SPAK_BASE_FS_H
#define SPAK_BASE_FS_H

#include "base/err.h"
#include "base/str.h"

/* Opens a regular file for reading; -1 for what is none (a named pipe would wait for a writer for ever, a device may
 * have no end), but /dev/stdin and /dev/fd/N may be pipes. */
int spak_open_read(const char *path, spak_error *err);

/* Reads the whole file (at most 1 GiB) into out, after what is there. */
bool spak_read_file(const char *path, spak_str *out, spak_error *err);

/* Writes beside (path.spak-tmp-PID), syncs, renames: a reader, or a restart after kill -9, sees the old content or the
 * new, never half. Folders on the way are made. A symbolic link is followed, and an old file keeps its permissions. */
bool spak_write_file(const char *path, const void *data, size_t len, spak_error *err);

/* The same for a file too large to hold in memory: opened, written in pieces, and put into place by commit; without it
 * nothing has happened. commit and abandon free the writer; abandon(NULL) is fine. */
typedef struct spak_writer spak_writer;
bool spak_writer_open(const char *path, spak_writer **writer, spak_error *err);
bool spak_writer_put(spak_writer *writer, const void *data, size_t len, spak_error *err);
bool spak_writer_commit(spak_writer *writer, spak_error *err);
void spak_writer_abandon(spak_writer *writer);

/* Like spak_write_file, but leaves the file (and its time stamp) alone when it holds just these bytes already. */
bool spak_write_if_changed(const char *path, const void *data, size_t len, spak_error *err);

bool spak_make_dirs(const char *path, spak_error *err);        /* like mkdir -p */
bool spak_make_parent_dirs(const char *path, spak_error *err); /* the folders above path */
bool spak_exists(const char *path);

/* Removes a folder and all that is in it, as far as that can be done; follows no symbolic link. */
void spak_remove_tree(const char *path);

/* Syncs the folder that holds path, so that a file just made or renamed there outlives a power cut. A file system that
 * cannot do it is left as it is. */
void spak_sync_parent(const char *path);

/* The names in a folder, sorted by byte, without dot files; free with spak_names_free. */
bool spak_list_dir(const char *path, char ***names, size_t *count, spak_error *err);
void spak_names_free(char **names, size_t count);

/* What stands between a file's name and the process number while it is written: a mark that no user's file has. */
#define SPAK_TEMPORARY ".spak-tmp-"

/* Removes the `*.spak-tmp-PID` files and folders below a folder, and those of figures (`*.spak-tmp-PID.svg`, png, pdf,
 * dat), that processes which no longer run have left behind. Other people's files stay. */
void spak_sweep_temporaries(const char *folder);

#endif
