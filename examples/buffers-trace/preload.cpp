// The preloaded part of buffers-trace: takes the place of malloc and free in a program, and writes a trace of what it
// allocates.
//
//   BUFFERS_TRACE            the file
//   BUFFERS_TRACE_PROCESS    the process whose trace it is to be; after exec, that of its last program
//   BUFFERS_TRACE_CHILDREN   where set, the processes that this one starts have a trace as well: the file, a dot, and
//                            the number of the process
//
// It is C++ without the runtime, so that the program may have any or none, and calls nothing that allocates: it cannot
// enter itself. What is allocated before its constructor, which is the first of all, is not recorded.
#include <dlfcn.h>
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <new>

#include "trace_writer.h"

// What glibc's functions are called beside the names that are replaced here.
// NOLINTBEGIN(bugprone-reserved-identifier)
extern "C" {
void* __libc_malloc(size_t);
void __libc_free(void*);
void* __libc_calloc(size_t, size_t);
void* __libc_realloc(void*, size_t);
void* __libc_memalign(size_t, size_t);
}
// NOLINTEND(bugprone-reserved-identifier)

namespace {

using namespace buffers;

constexpr size_t usual_alignment = 16;

trace_file::writer trace;
pid_t recorded = 0;  // 0: nothing is recorded in this process
bool with_children = false;
char path[4096];

// --- streams: one for each thread, and those of threads that have ended for the next ones ----------------------------

struct thread_stream {
  trace_file::stream stream;
  thread_stream* next = nullptr;       // of all
  thread_stream* next_free = nullptr;  // of those that no thread has
};

pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
thread_stream* all = nullptr;
thread_stream* unused = nullptr;
pthread_key_t at_thread_end;
bool has_key = false;

[[gnu::tls_model("initial-exec")]] constinit thread_local thread_stream* mine = nullptr;
[[gnu::tls_model("initial-exec")]] constinit thread_local bool has_ended = false;  // as far as thread keys go
[[gnu::tls_model("initial-exec")]] constinit thread_local uint32_t number = 0;     // that it had until then

thread_stream* take() {
  pthread_mutex_lock(&mutex);
  thread_stream* taken = unused;
  if (taken != nullptr) {
    unused = taken->next_free;
  } else if (void* const pages =
                 mmap(nullptr, sizeof *taken, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
             pages != MAP_FAILED) {
    taken = new (pages) thread_stream;
    taken->next = all;
    all = taken;
  }
  pthread_mutex_unlock(&mutex);
  return taken;
}

void give(thread_stream* given) {
  trace_file::writer::leave(given->stream);
  pthread_mutex_lock(&mutex);
  given->next_free = unused;
  unused = given;
  pthread_mutex_unlock(&mutex);
}

void end_thread(void* of) {
  number = static_cast<thread_stream*>(of)->stream.thread;
  has_ended = true;
  mine = nullptr;
  give(static_cast<thread_stream*>(of));
}

[[gnu::cold, gnu::noinline]] void record_slowly(trace_file::operation op, const void* block, size_t bytes,
                                                size_t alignment) {
  const int error = errno;
  thread_stream* const taken = take();
  if (taken == nullptr) {
    trace.lose(ENOMEM);
  } else if (has_ended) {  // for this one time: nobody would take the stream back
    taken->stream.resumes = number;
    trace.put(taken->stream, op, block, bytes, alignment);
    give(taken);
  } else {
    mine = taken;
    trace.put(taken->stream, op, block, bytes, alignment);
    if (has_key) pthread_setspecific(at_thread_end, taken);  // which may allocate
  }
  errno = error;
}

void record(trace_file::operation op, const void* block, size_t bytes = 0, size_t alignment = 1) {
  if (!trace.is_open()) return;
  if (mine == nullptr) return record_slowly(op, block, bytes, alignment);
  trace.put(mine->stream, op, block, bytes, alignment);
}

void* record_new(void* block, size_t bytes, size_t alignment = usual_alignment) {
  record(block != nullptr ? trace_file::allocate : trace_file::failed, block, bytes, alignment);
  return block;
}

// --- the life of a process -------------------------------------------------------------------------------------------

void start(const char* file) {
  recorded = getpid();
  if (const int error = trace.open(file); error != 0) {
    fprintf(stderr, "buffers-trace: %s: %s\n", file, strerror(error));
    recorded = 0;
  }
}

void start_child() {
  char file[sizeof path + 16];
  snprintf(file, sizeof file, "%s.%d", path, static_cast<int>(getpid()));
  start(file);
}

// A forked child has the streams of all threads, and only this one thread.
void in_child() {
  recorded = 0;
  mutex = PTHREAD_MUTEX_INITIALIZER;
  if (!with_children) return;
  unused = nullptr;
  for (thread_stream* s = all; s != nullptr; s = s->next) {
    s->stream.filled.store(0);
    s->stream.is_busy.store(false);
    s->stream.written = 0;
    s->stream.chunk_at = 0;
    s->stream.thread = 0;
    if (s == mine) continue;
    s->next_free = unused;
    unused = s;
  }
  start_child();
}

void end();

bool is_recorded() { return recorded != 0 && getpid() == recorded; }  // vfork's children have this memory as well

[[gnu::constructor]] void begin(int, char**, char** environment) {
  const char* wanted = nullptr;
  long process = 0;
  const auto value = [](const char* variable, const char* name) -> const char* {
    const size_t length = strlen(name);
    return strncmp(variable, name, length) == 0 && variable[length] == '=' ? variable + length + 1 : nullptr;
  };
  for (char** variable = environment; variable != nullptr && *variable != nullptr; ++variable) {
    if (const char* const is = value(*variable, "BUFFERS_TRACE")) wanted = is;
    if (const char* const is = value(*variable, "BUFFERS_TRACE_PROCESS")) process = strtol(is, nullptr, 10);
    if (value(*variable, "BUFFERS_TRACE_CHILDREN") != nullptr) with_children = true;
  }
  if (wanted == nullptr || strlen(wanted) >= sizeof path) return;
  memcpy(path, wanted, strlen(wanted) + 1);
  has_key = pthread_key_create(&at_thread_end, end_thread) == 0;
  if (process == getpid())
    start(path);
  else if (with_children)
    start_child();
  if (!is_recorded()) return;
  pthread_atfork(nullptr, nullptr, in_child);
  static_cast<void>(at_quick_exit(end));  // the last one to be called, as the first that is registered
}

[[gnu::destructor]] void end() {
  if (is_recorded()) trace.finish();
}

}  // namespace

// --- what is replaced ------------------------------------------------------------------------------------------------

#define REPLACES extern "C" [[gnu::visibility("default")]]

REPLACES void* malloc(size_t bytes) { return record_new(__libc_malloc(bytes), bytes); }

REPLACES void free(void* block) {
  if (block == nullptr) return;
  record(trace_file::deallocate, block);
  __libc_free(block);
}

REPLACES void* calloc(size_t count, size_t each) {
  size_t bytes;
  if (__builtin_mul_overflow(count, each, &bytes)) bytes = SIZE_MAX;
  return record_new(__libc_calloc(count, each), bytes);
}

REPLACES void* realloc(void* block, size_t bytes) {
  if (block == nullptr) return malloc(bytes);
  if (bytes == 0) {
    free(block);
    return nullptr;
  }
  record(trace_file::move, block);
  return record_new(__libc_realloc(block, bytes), bytes);
}

REPLACES void* reallocarray(void* block, size_t count, size_t each) {
  size_t bytes;
  if (!__builtin_mul_overflow(count, each, &bytes)) return realloc(block, bytes);
  record_new(nullptr, SIZE_MAX);
  errno = ENOMEM;
  return nullptr;
}

REPLACES void* memalign(size_t alignment, size_t bytes) {
  void* const block = __libc_memalign(alignment, bytes);
  size_t power = 1;
  while (power < alignment && power < size_t{1} << 30) power *= 2;
  return record_new(block, bytes, power);
}

REPLACES void* aligned_alloc(size_t alignment, size_t bytes) { return memalign(alignment, bytes); }

REPLACES int posix_memalign(void** block, size_t alignment, size_t bytes) {
  if (alignment % sizeof(void*) != 0 || (alignment & (alignment - 1)) != 0 || alignment == 0) return EINVAL;
  const int error = errno;
  void* const made = memalign(alignment, bytes);
  errno = error;
  if (made == nullptr) return ENOMEM;
  *block = made;
  return 0;
}

REPLACES void* valloc(size_t bytes) { return memalign(static_cast<size_t>(sysconf(_SC_PAGESIZE)), bytes); }

REPLACES void* pvalloc(size_t bytes) {
  const size_t page = static_cast<size_t>(sysconf(_SC_PAGESIZE));
  size_t rounded;
  if (!__builtin_add_overflow(bytes, page - 1, &rounded)) return memalign(page, rounded / page * page);
  record_new(nullptr, bytes, page);
  errno = ENOMEM;
  return nullptr;
}

// Processes that end without their destructors.
REPLACES void _exit(int status) {
  end();
  for (;;) syscall(SYS_exit_group, status);
}
REPLACES void _Exit(int status) { _exit(status); }

// Where the process becomes another program, which perhaps cannot be recorded.
REPLACES int execve(const char* program, char* const arguments[], char* const environment[]) {
  if (is_recorded()) trace.flush();
  return static_cast<int>(syscall(SYS_execve, program, arguments, environment));
}
REPLACES int execv(const char* program, char* const arguments[]) { return execve(program, arguments, environ); }

REPLACES int execvpe(const char* program, char* const arguments[], char* const environment[]) {
  if (is_recorded()) trace.flush();
  const auto next = reinterpret_cast<decltype(&execvpe)>(dlsym(RTLD_NEXT, "execvpe"));
  return next(program, arguments, environment);
}
REPLACES int execvp(const char* program, char* const arguments[]) { return execvpe(program, arguments, environ); }
