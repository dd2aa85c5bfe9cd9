// Records what a program allocates: LD_PRELOAD this, and set BUFFERS_TRACE to a path. The process writes its records to
// that path, followed by a dot and its process id, when it ends; the programs that it starts are not recorded.
//
// It has no memory but its own array and calls nothing that allocates, so it cannot enter itself.
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <atomic>

#include "trace.h"

// What glibc's functions are called beside the names that are replaced here.
extern "C" {
void* __libc_malloc(size_t);
void __libc_free(void*);
void* __libc_calloc(size_t, size_t);
void* __libc_realloc(void*, size_t);
void* __libc_memalign(size_t, size_t);
}

namespace {

constexpr size_t most = 1 << 25;
trace::record records[most];  // untouched pages cost nothing
std::atomic<size_t> count{0};
char path[4096];
pid_t recorded = 0;

void record(const void* block, size_t bytes, size_t alignment) {
  if (const size_t i = count.fetch_add(1, std::memory_order_relaxed); i < most)
    records[i] = {reinterpret_cast<uintptr_t>(block), bytes, alignment};
}

void* allocated(void* block, size_t bytes, size_t alignment = trace::usual_alignment) {
  if (block) record(block, bytes, alignment);
  return block;
}

// For the programs that this one starts. Not by unsetenv, which bash replaces.
void forget(const char* assignment) {
  char** to = environ;
  for (char** from = environ; *from; ++from)
    if (strncmp(*from, assignment, strlen(assignment)) != 0) *to++ = *from;
  *to = nullptr;
}

[[gnu::constructor]] void begin() {
  const char* wanted = nullptr;
  for (char** variable = environ; variable && *variable; ++variable)
    if (strncmp(*variable, "BUFFERS_TRACE=", 14) == 0) wanted = *variable + 14;
  if (!wanted) return;
  recorded = getpid();
  snprintf(path, sizeof path, "%s.%d", wanted, recorded);
  forget("BUFFERS_TRACE=");
  forget("LD_PRELOAD=");
}

// A copy of the process has the records too, and is not the one to write them.
[[gnu::destructor]] void end() {
  if (recorded == 0 || getpid() != recorded) return;
  const size_t recorded_count = count.load();
  if (recorded_count > most) {
    fprintf(stderr, "recorder: more than %zu allocations\n", most);
    return;
  }
  const int file = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0644);
  const char* from = reinterpret_cast<const char*>(records);
  for (size_t left = recorded_count * sizeof(trace::record); file >= 0 && left > 0;) {
    const ssize_t written = write(file, from, left);
    if (written <= 0) {
      unlink(path);
      break;
    }
    from += written;
    left -= static_cast<size_t>(written);
  }
  close(file);
}

}  // namespace

extern "C" {

[[gnu::visibility("default")]] void* malloc(size_t bytes) { return allocated(__libc_malloc(bytes), bytes); }

[[gnu::visibility("default")]] void free(void* block) {
  if (block) record(block, trace::freed, 0);
  __libc_free(block);
}

[[gnu::visibility("default")]] void* calloc(size_t number, size_t each) {
  return allocated(__libc_calloc(number, each), number * each);
}

// A new block and the end of the old one, in this order as a resource has no realloc.
[[gnu::visibility("default")]] void* realloc(void* block, size_t bytes) {
  if (block && bytes == 0) {
    free(block);
    return nullptr;
  }
  void* const moved = __libc_realloc(block, bytes);
  if (!moved) return nullptr;
  if (block) record(block, trace::moved, 0);
  record(moved, bytes, trace::usual_alignment);
  return moved;
}

[[gnu::visibility("default")]] void* memalign(size_t alignment, size_t bytes) {
  return allocated(__libc_memalign(alignment, bytes), bytes, alignment);
}

[[gnu::visibility("default")]] void* aligned_alloc(size_t alignment, size_t bytes) {
  return memalign(alignment, bytes);
}

[[gnu::visibility("default")]] int posix_memalign(void** block, size_t alignment, size_t bytes) {
  if (alignment % sizeof(void*) != 0 || (alignment & (alignment - 1)) != 0 || alignment == 0) return EINVAL;
  void* const made = memalign(alignment, bytes);
  if (!made) return ENOMEM;
  *block = made;
  return 0;
}
}
