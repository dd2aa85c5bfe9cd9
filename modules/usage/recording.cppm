// recording_resource passes everything on to another resource, and writes down what it was: into a trace, which
// trace_reader, replay and the program buffers-trace read.
//
//   operation    cost                    what it does
//   allocate     upstream and 50 ns      ... a failed one as well
//   deallocate   upstream and 50 ns
//   flush        a write per thread      all events so far are in the file
//
// An event takes about 11 bytes of the file. Each thread that allocates has 64 KiB. What all of them hold is written
// when one is full, by flush() and the destructor, and when this program reads the trace.
//
// An error of the file never affects the program; recording stops. flush() throws it, error() returns it, the trace is
// marked, and the destructor says so on stderr when nobody has asked.
//
// In front of a buffer that is reset, or gone back in by a scope, it sees no deallocations: a block counts as live
// until another begins at the same address. As the buffer's upstream it sees what that asks for.
//
// Threads: any, at the same time, if upstream allows that. A forked child records nothing.
//
//     buffers::slab_resource scratch;
//     {
//       buffers::recording_resource recorded{"words.trace", &scratch};
//       std::pmr::vector<std::pmr::string> words{{"one", "two"}, &recorded};
//     }
//     buffers::pool_resource pool;
//     const auto summary = buffers::replay("words.trace", pool);
module;
#include <cstddef>
#include <cstdint>
#include <gsl/pointers>
#include <memory_resource>
#include <system_error>
export module buffers.usage:recording;
import buffers.core;
import buffers.resources;
import :trace;

namespace buffers::detail {
struct recording_state;
// Writes what this program's recording_resources have to say into that file, so that it can be read. Whether there is
// one.
bool flush_recording(std::uint64_t device, std::uint64_t inode) noexcept;
}  // namespace buffers::detail

export namespace buffers {

/// Writes down what is allocated and freed through it.
class recording_resource final : public detail::resource_base<recording_resource> {
 public:
  /// Makes the file, or empties it. Memory comes from upstream, which must outlive this.
  /// Throws: system_error when the file cannot be written, or another recording_resource of this program writes it;
  /// only a regular file can.
  explicit recording_resource(file_path path,
                              gsl::not_null<std::pmr::memory_resource*> upstream = std::pmr::new_delete_resource());
  /// Completes the file.
  ~recording_resource() override;

  /// Memory from upstream. Throws: what upstream throws; invalid_argument when alignment is no power of two.
  [[nodiscard]] inline void* allocate(std::size_t bytes, std::size_t alignment = alignof(std::max_align_t)) {
    if (!detail::is_plain(bytes, alignment)) [[unlikely]]
      return answer(bytes, alignment);
    void* block;
    try {
      block = upstream_->allocate(bytes, alignment);
    } catch (...) {
      record(trace_operation::failed, nullptr, bytes, alignment);
      throw;
    }
    record(trace_operation::allocate, block, bytes, alignment);  // after: before, another thread's block was there
    return block;
  }

  /// Gives the block upstream. Null is ignored.
  inline void deallocate(void* block, std::size_t bytes, std::size_t alignment = alignof(std::max_align_t)) noexcept {
    if (detail::is_nothing(block, bytes)) return;
    record(trace_operation::deallocate, block, bytes, alignment);  // before: after, another thread's block may be there
    upstream_->deallocate(block, bytes, alignment);
  }

  /// Sees to it that all events before this call are in the file, those of other threads included.
  /// Throws: system_error when one could not be written, now or earlier.
  void flush();
  /// Why there are no further events in the file. No error while all is well.
  [[nodiscard]] std::error_code error() const noexcept;
  /// Where the memory is from.
  [[nodiscard]] inline std::pmr::memory_resource* upstream_resource() const noexcept { return upstream_; }

 private:
  [[gnu::cold]] void* answer(std::size_t bytes, std::size_t alignment);
  void record(trace_operation operation, const void* block, std::size_t bytes, std::size_t alignment) noexcept;

  std::pmr::memory_resource* upstream_;
  detail::recording_state* state_;
};

}  // namespace buffers
