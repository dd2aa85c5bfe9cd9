module;
#include <atomic>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <gsl/pointers>
#include <memory_resource>
#include <mutex>
#include <new>
#include <string>
#include <system_error>
#include <utility>

#include "trace_writer.h"
module buffers.usage;
import buffers.threads;

namespace buffers {

// It lies in pages of its own: the global heap may be what is recorded.
struct detail::recording_state {
  static void thread_ended(recording_state&, trace_file::stream& stream) noexcept { trace_file::writer::leave(stream); }

  trace_file::writer writer;
  std::atomic<bool> is_told = false;  // the error
  recording_state* next = nullptr;    // of all
  per_thread<trace_file::stream> streams{*this, thread_ended};
};

namespace {

constexpr const char* what = "buffers: the trace is incomplete";

// All that are being made. Never destroyed: a recording_resource may be static, in a file that is initialised before.
struct {
  void lock() noexcept { pthread_mutex_lock(&is_locked); }
  void unlock() noexcept { pthread_mutex_unlock(&is_locked); }
  pthread_mutex_t is_locked = PTHREAD_MUTEX_INITIALIZER;
} constinit mutex;
detail::recording_state* recordings = nullptr;

// 0, or why it cannot be written: EBUSY when another one writes it. Both would put their records in the same places.
int begin(detail::recording_state& made, const char* path) noexcept {
  const std::lock_guard locked{mutex};
  if (struct stat about; stat(path, &about) == 0)
    for (const detail::recording_state* r = recordings; r != nullptr; r = r->next)
      if (r->writer.writes(about.st_dev, about.st_ino)) return EBUSY;
  if (const int error = made.writer.open(path); error != 0) return error;
  made.next = std::exchange(recordings, &made);
  return 0;
}

}  // namespace

// Whoever reads a trace is to find what was recorded before.
bool detail::flush_recording(std::uint64_t device, std::uint64_t inode) noexcept {
  const std::lock_guard locked{mutex};
  bool is_there = false;
  for (recording_state* r = recordings; r != nullptr; r = r->next)
    if (r->writer.writes(device, inode)) {
      r->writer.flush();
      is_there = true;
    }
  return is_there;
}

recording_resource::recording_resource(file_path path, gsl::not_null<std::pmr::memory_resource*> upstream)
    : upstream_(upstream) {
  void* const pages = mmap(nullptr, sizeof *state_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (pages == MAP_FAILED) throw std::bad_alloc();
  try {
    state_ = ::new (pages) detail::recording_state;
  } catch (...) {
    munmap(pages, sizeof *state_);
    throw;
  }
  if (const int error = begin(*state_, path.c_str()); error != 0) {
    state_->~recording_state();
    munmap(pages, sizeof *state_);
    const std::string file = std::string("buffers: ") + path.c_str();
    if (error == ESPIPE) throw std::system_error(EINVAL, std::generic_category(), file + ": not a regular file");
    if (error == EBUSY) throw std::system_error(error, std::generic_category(), file + ": it is being recorded");
    throw std::system_error(error, std::generic_category(), file);
  }
}

recording_resource::~recording_resource() {
  {
    const std::lock_guard locked{mutex};
    detail::recording_state** at = &recordings;
    while (*at != state_) at = &(*at)->next;
    *at = state_->next;
  }
  const int error = state_->writer.close();
  if (error != 0 && !state_->is_told.load())
    std::fprintf(stderr, "%s: %s\n", what, std::generic_category().message(error).c_str());
  state_->~recording_state();
  munmap(state_, sizeof *state_);
}

void* recording_resource::answer(std::size_t bytes, std::size_t alignment) {
  detail::require_alignment(alignment);
  if (bytes != 0) record(trace_operation::failed, nullptr, bytes, alignment);
  return detail::answer(bytes, alignment);
}

void recording_resource::record(trace_operation operation, const void* block, std::size_t bytes,
                                std::size_t alignment) noexcept {
  const auto op = static_cast<trace_file::operation>(static_cast<unsigned>(operation) + trace_file::allocate);
  trace_file::stream* stream;
  try {
    stream = &state_->streams.local();
  } catch (...) {
    state_->writer.lose(ENOMEM);
    return;
  }
  state_->writer.put(*stream, op, block, bytes, alignment);
}

void recording_resource::flush() {
  if (const int error = state_->writer.flush(); error != 0) {
    state_->is_told.store(true);
    throw std::system_error(error, std::generic_category(), what);
  }
}

std::error_code recording_resource::error() const noexcept {
  const int error = state_->writer.error();
  if (error != 0) state_->is_told.store(true);
  return {error, std::generic_category()};
}

}  // namespace buffers
