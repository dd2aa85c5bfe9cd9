// The writer of a trace, which recording_resource and the preloaded recorder of buffers-trace share. It needs no C++
// runtime, allocates nothing, and calls only the system.
//
//     thread 1   stream ┌─────────────┐ full: into the file, where its chunk lies
//     thread 2   stream ┌─────────────┐
//                       └─ next number: one atomic of the writer
//
// A record's number is taken after a block has come and before it goes: by that order no block is in two places, and
// none is freed before it was allocated. No file descriptor is kept that the program at hand could close, or take for
// its own. In a forked child the writer is as it was before open(): what the child does is not in its parent's trace.
#pragma once
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <atomic>

#include "trace_file.h"

namespace buffers::trace_file {

/// Ticks of a clock that is cheaper than clock_gettime; only their relation to nanoseconds is recorded.
inline uint64_t ticks_now() noexcept {
#if defined(__x86_64__)
  return __builtin_ia32_rdtsc();
#elif defined(__aarch64__)
  uint64_t ticks;
  asm volatile("mrs %0, cntvct_el0" : "=r"(ticks));
  return ticks;
#else
  timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return static_cast<uint64_t>(now.tv_sec) * 1'000'000'000 + static_cast<uint64_t>(now.tv_nsec);
#endif
}
inline uint64_t nanoseconds_now(clockid_t clock) noexcept {
  timespec now;
  clock_gettime(clock, &now);
  return static_cast<uint64_t>(now.tv_sec) * 1'000'000'000 + static_cast<uint64_t>(now.tv_nsec);
}

/// A chunk in the making. One thread at a time puts records into it.
struct stream {
  std::atomic<size_t> filled = 0;               // bytes; what is beyond is the thread's
  std::atomic<bool> is_busy = false;            // its thread has taken a number, whose record is still to come
  size_t written = 0;                           // ... of them in the file
  int64_t chunk_at = 0;                         // where in the file; 0: it has no chunk
  uint64_t number = 0, ticks = 0, address = 0;  // of the record before
  uint32_t thread = 0;                          // whose records these are; 0: to be said
  uint32_t resumes = 0;                         // ... by a thread that has this number already
  stream* next = nullptr;                       // of the writer's list
  unsigned char bytes[chunk_bytes];
};

/// One trace. Threads: any, each with a stream of its own; open() and close() while no other thread is here. errno
/// stays as it is but for these two.
class writer {
 public:
  writer() = default;
  writer(const writer&) = delete;
  writer& operator=(const writer&) = delete;

  /// Makes the file, or empties it. Returns 0, or why it cannot be written: an errno.
  int open(const char* path) noexcept;
  [[nodiscard]] bool is_open() const noexcept {
    return state_ != nullptr && state_->is_open.load(std::memory_order_relaxed);
  }

  /// Adds a record. An error ends the recording, and is kept.
  void put(stream& s, operation op, const void* block, size_t bytes, size_t alignment) noexcept {
    if (!is_open()) [[unlikely]]
      return;
    if (s.thread == 0 || s.filled.load(std::memory_order_relaxed) > chunk_bytes - longest_record - 8) [[unlikely]]
      if (!make_room(s)) return;
    const uint64_t address = reinterpret_cast<uintptr_t>(block);
    s.is_busy.store(true, std::memory_order_relaxed);
    const uint64_t number = state_->records.fetch_add(1, std::memory_order_release);  // seen with is_busy
    const uint64_t ticks = ticks_now() - state_->first_ticks;
    const uint64_t passed = ticks > s.ticks ? ticks - s.ticks : 0;  // processors need not agree to the tick
    const size_t at = s.filled.load(std::memory_order_relaxed);
    const fields f{number - s.number - 1, passed, zigzag(address - s.address), bytes};
    const auto log_alignment = static_cast<unsigned>(__builtin_ctzll(alignment));
    unsigned char* const end =
        encode(s.bytes + at, op, log_alignment < largest_log_alignment ? log_alignment : largest_log_alignment, f);
    s.number = number;
    s.ticks += passed;
    s.address = address;
    s.filled.store(static_cast<size_t>(end - s.bytes), std::memory_order_release);
    s.is_busy.store(false, std::memory_order_release);
  }
  /// The stream's thread has ended: the next one to use the stream is another.
  static void leave(stream& s) noexcept { s.thread = 0; }

  /// Writes what the streams hold into the file. Returns 0 or the first error.
  int flush() noexcept;
  /// ... and ends the recording; threads that are in put() do no harm.
  int finish() noexcept;
  /// ... and forgets the streams.
  int close() noexcept;
  /// Whether it writes that file.
  [[nodiscard]] bool writes(uint64_t device, uint64_t inode) const noexcept {
    if (!is_open() || device != state_->device || inode != state_->inode) return false;
    const kept_errno kept;
    struct stat about;  // of a file that was removed, another may have the number
    return stat(state_->path, &about) == 0 && device == about.st_dev && inode == about.st_ino;
  }
  /// Why there are no further records in the file; 0 while all are.
  [[nodiscard]] int error() const noexcept { return state_ != nullptr ? state_->error.load() : 0; }
  /// A record is missing that could not even be tried to write: no memory for a stream.
  void lose(int error) noexcept {
    if (!is_open()) return;
    state_->records.fetch_add(1, std::memory_order_relaxed);
    fail(error);
  }

 private:
  // In pages that a forked child finds zeroed.
  struct state {
    std::atomic<bool> is_open;
    std::atomic<uint64_t> records;
    uint64_t first_ticks, first_nanoseconds;
    std::atomic<int> error;
    pthread_mutex_t mutex;  // of all below, and of the streams but for what their threads do in put()
    int64_t next_chunk;
    uint32_t threads;
    stream* streams;
    dev_t device;
    ino_t inode;
    char path[4096];
  };
  class locked {
   public:
    explicit locked(state& s) noexcept : mutex_(&s.mutex) { pthread_mutex_lock(mutex_); }
    locked(const locked&) = delete;
    locked& operator=(const locked&) = delete;
    ~locked() { pthread_mutex_unlock(mutex_); }

   private:
    pthread_mutex_t* mutex_;
  };
  struct kept_errno {
    kept_errno() = default;
    kept_errno(const kept_errno&) = delete;
    kept_errno& operator=(const kept_errno&) = delete;
    ~kept_errno() { errno = error; }
    int error = errno;
  };
  /// The file, open as long as this lives.
  class opened {
   public:
    explicit opened(const state& s) noexcept : file_(::open(s.path, O_WRONLY | O_CLOEXEC)) {
      struct stat about;
      error_ = file_ < 0 || fstat(file_, &about) != 0 ? errno : 0;
      if (error_ == 0 && (about.st_dev != s.device || about.st_ino != s.inode)) error_ = ESTALE;
    }
    opened(const opened&) = delete;
    opened& operator=(const opened&) = delete;
    ~opened() {
      if (file_ >= 0) ::close(file_);
    }
    int write(const void* from, size_t bytes, int64_t at) const noexcept {
      return error_ != 0 ? error_ : write_all(file_, from, bytes, at);
    }

   private:
    int file_;
    int error_;
  };

  /// A file that would become larger than it may is an error of the recording, not a signal for the program.
  class without_signal {
   public:
    without_signal() noexcept {
      sigset_t pending;
      sigemptyset(&too_large_);
      sigaddset(&too_large_, SIGXFSZ);
      sigpending(&pending);
      was_pending_ = sigismember(&pending, SIGXFSZ) == 1;
      pthread_sigmask(SIG_BLOCK, &too_large_, &before_);
    }
    without_signal(const without_signal&) = delete;
    without_signal& operator=(const without_signal&) = delete;
    ~without_signal() {
      const kept_errno kept;
      const timespec at_once = {};
      if (!was_pending_) sigtimedwait(&too_large_, nullptr, &at_once);
      pthread_sigmask(SIG_SETMASK, &before_, nullptr);
    }

   private:
    sigset_t too_large_, before_;
    bool was_pending_;
  };

  static int write_all(int file, const void* from, size_t bytes, int64_t at) noexcept {
    const without_signal guard;
    for (const char* next = static_cast<const char*>(from); bytes > 0;) {
      const ssize_t done = pwrite(file, next, bytes, at);
      if (done < 0 && errno == EINTR) continue;
      if (done <= 0) return done < 0 ? errno : EIO;
      next += done;
      at += done;
      bytes -= static_cast<size_t>(done);
    }
    return 0;
  }

  [[gnu::cold, gnu::noinline]] inline bool make_room(stream& s) noexcept;
  int write_stream(const opened& file, stream& s) noexcept;
  int write_progress(const opened& file, uint64_t records, bool finished) noexcept;
  int write_all_streams(bool finished) noexcept;
  void fail(int error) noexcept {
    int none = 0;
    state_->error.compare_exchange_strong(none, error);
  }

  state* state_ = nullptr;
};

inline int writer::open(const char* path) noexcept {
  close();
  const int file = ::open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
  if (file < 0) return errno;
  struct stat about;
  const auto failed = [&](int error) {
    ::close(file);
    if (state_ != nullptr) munmap(state_, sizeof(state));
    state_ = nullptr;
    return error;
  };
  if (fstat(file, &about) != 0) return failed(errno);
  if (!S_ISREG(about.st_mode)) return failed(S_ISDIR(about.st_mode) ? EISDIR : ESPIPE);
  void* const pages = mmap(nullptr, sizeof(state), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (pages == MAP_FAILED) return failed(errno);
  state_ = static_cast<state*>(pages);  // of zeros
  if (madvise(pages, sizeof(state), MADV_WIPEONFORK) != 0) return failed(errno);
  // Later the file is opened by its name again, wherever the program has gone by then.
  size_t length = 0;
  if (path[0] != '/') {
    // NOLINTBEGIN(clang-analyzer-core.NonNullParamChecker): an array
    if (getcwd(state_->path, sizeof state_->path) == nullptr) return failed(errno);
    length = strlen(state_->path);
    // NOLINTEND(clang-analyzer-core.NonNullParamChecker)
    state_->path[length++] = '/';
  }
  if (length + strlen(path) >= sizeof state_->path) return failed(ENAMETOOLONG);
  memcpy(state_->path + length, path, strlen(path) + 1);
  pthread_mutex_init(&state_->mutex, nullptr);
  state_->device = about.st_dev;
  state_->inode = about.st_ino;
  state_->next_chunk = header_bytes;
  state_->first_ticks = ticks_now();
  state_->first_nanoseconds = nanoseconds_now(CLOCK_MONOTONIC);

  origin first;
  first.process = static_cast<uint64_t>(getpid());
  first.started = static_cast<int64_t>(nanoseconds_now(CLOCK_REALTIME));
  if (const int command = ::open("/proc/self/cmdline", O_RDONLY | O_CLOEXEC); command >= 0) {
    // NOLINTNEXTLINE(clang-analyzer-unix.BlockInCriticalSection): that file is never waited for
    if (read(command, first.command, sizeof first.command - 1) < 0) first.command[0] = 0;
    ::close(command);
  }
  first.check = check_of(first);
  unsigned char header[header_bytes] = {};
  memcpy(header, &first, sizeof first);
  progress none;
  none.check = check_of(none);
  memcpy(header + progress_at, &none, sizeof none);
  if (const int error = write_all(file, header, sizeof header, 0); error != 0) return failed(error);
  ::close(file);
  state_->is_open.store(true);
  return 0;
}

inline int writer::write_stream(const opened& file, stream& s) noexcept {
  const size_t filled = s.filled.load(std::memory_order_acquire);
  if (s.chunk_at == 0 || filled == s.written) return 0;
  const int error = file.write(s.bytes + s.written, filled - s.written, s.chunk_at + static_cast<int64_t>(s.written));
  if (error != 0)
    fail(error);
  else
    s.written = filled;
  return error;
}

inline int writer::write_progress(const opened& file, uint64_t records, bool finished) noexcept {
  progress now;
  now.records = records;
  now.ticks = ticks_now() - state_->first_ticks;
  now.nanoseconds = nanoseconds_now(CLOCK_MONOTONIC) - state_->first_nanoseconds;
  now.finished = finished;
  now.error = static_cast<uint32_t>(state_->error.load());
  now.check = check_of(now);
  const int error = file.write(&now, sizeof now, progress_at);
  if (error != 0) fail(error);
  return error;
}

// Puts the stream's thread in front of what it has to say next, into another chunk where this one is full.
bool writer::make_room(stream& s) noexcept {
  const kept_errno kept;
  const locked guard(*state_);
  if (state_->error.load() != 0) {  // the number tells how many are missing
    state_->records.fetch_add(1, std::memory_order_relaxed);
    return false;
  }
  if (s.chunk_at == 0) {
    s.next = state_->streams;
    state_->streams = &s;
  }
  if (s.chunk_at == 0 || s.filled.load(std::memory_order_relaxed) > chunk_bytes - 2 * (longest_record + 8)) {
    // With the others: of a program that is killed, no more can be read than up to the first record that is missing.
    if (s.chunk_at != 0 && write_all_streams(false) != 0) {
      state_->records.fetch_add(1, std::memory_order_relaxed);
      return false;
    }
    s.filled.store(0, std::memory_order_relaxed);
    s.written = 0;
    s.chunk_at = state_->next_chunk;
    state_->next_chunk += chunk_bytes;
  }
  if (s.thread == 0) s.thread = s.resumes != 0 ? s.resumes : ++state_->threads;
  s.resumes = 0;
  const uint64_t next = state_->records.load(std::memory_order_relaxed);
  s.number = next - 1;
  s.ticks = ticks_now() - state_->first_ticks;
  s.address = 0;
  const size_t at = s.filled.load(std::memory_order_relaxed);
  unsigned char* const end = encode(s.bytes + at, thread, 0, {next, s.ticks, 0, s.thread});
  s.filled.store(static_cast<size_t>(end - s.bytes), std::memory_order_release);
  return true;
}

inline int writer::write_all_streams(bool finished) noexcept {
  const opened file(*state_);
  const uint64_t records = state_->records.load(std::memory_order_acquire);  // all of these are to be in the file
  for (stream* s = state_->streams; s != nullptr; s = s->next) {
    while (s->is_busy.load(std::memory_order_acquire)) sched_yield();
    write_stream(file, *s);
  }
  write_progress(file, records, finished);
  return state_->error.load();
}

inline int writer::flush() noexcept {
  if (!is_open()) return error();
  const kept_errno kept;
  const locked guard(*state_);
  return write_all_streams(false);
}

inline int writer::finish() noexcept {
  if (!is_open()) return error();
  const kept_errno kept;
  const locked guard(*state_);
  state_->is_open.store(false);
  return write_all_streams(true);
}

inline int writer::close() noexcept {
  const int error = finish();
  if (state_ != nullptr) munmap(state_, sizeof(state));
  state_ = nullptr;
  return error;
}

}  // namespace buffers::trace_file
