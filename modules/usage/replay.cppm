// replay does on a memory resource what a program did when its trace was recorded.
//
//     recorded order          free-running
//     ──▶ a1 b1 a2 ~a1 b2     thread a ──▶ a1 a2 ~a1
//         on this thread      thread b ──▶ b1 ~a2 ...      ~a2 waits for a2, nothing else does
//
//   operation          cost      what it does
//   replay             O(n)      reads the trace and runs it once
//   replayer           O(n)      reads it, for many runs; 16 bytes an event, in pages of its own
//   replayer::run      O(n)      ... O(n log n) with the check for overlaps
//
// Threads: a replayer may run on several threads at the same time. Free-running calls the resource from many threads,
// which it must allow.
//
//     {
//       buffers::recording_resource recorded{"replayed.trace"};
//       std::pmr::vector<int> numbers(1000, &recorded);
//     }
//     buffers::pool_resource pool;
//     const auto summary = buffers::replay("replayed.trace", pool);
//     std::println("{} s, {} bytes for each byte in use", summary.seconds, summary.fragmentation());
module;
#include <atomic>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <iosfwd>
#include <memory_resource>
#include <optional>
#include <stdexcept>
export module buffers.usage:replay;
import :trace;

export namespace buffers {

/// What is done to the bytes of a block.
enum class replay_contents : std::uint8_t {
  untouched,
  touched,   // one byte in each 64 is written, so that the block is resident
  verified,  // all are written, and must be the same when the block goes
};

/// How a trace is replayed.
struct replay_options {
  /// A thread for each that was recorded, instead of all in the recorded order on the caller's thread. A thread waits
  /// for another only where a block crosses from that one to it. The resource must be one that threads may share. A
  /// trace of one thread runs in its order on the caller's.
  bool free_running = false;
  bool check_overlap = true;  // no two blocks share a byte
  replay_contents contents = replay_contents::touched;
  std::atomic<std::uint64_t>* progress = nullptr;  // grows by the allocations and deallocations done, now and then
};

/// What a replay came to. A block of more than 4 TiB is replayed, and counted, as one of 4 TiB. One that was not given
/// back, as by a scope or a reset, ends when another begins at the same address.
struct replay_summary {
  std::uint64_t events = 0;         // of the trace
  std::uint64_t allocations = 0;    // that the program made
  std::uint64_t deallocations = 0;  // ... and what it gave back, or what ended where another began
  std::uint64_t failed = 0;         // failed for the program, and were left out
  std::uint64_t unknown = 0;        // events that do not fit: a block goes that has not come, or comes where one is
  std::uint32_t threads = 0;        // that the program had
  double seconds = 0;               // with what is checked; without reading the trace
  std::size_t peak_bytes = 0;       // the most that was live, of what was asked for
  std::size_t peak_blocks = 0;      // how many blocks these were
  std::size_t left_bytes = 0;       // what the program never freed; it is given back after the time is taken
  std::size_t left_blocks = 0;
  std::size_t peak_held = 0;            // what the resource held at most, see replayer::run
  std::optional<trace_error> damage{};  // why the trace was replayed only up to there

  /// Bytes held for each byte that was live, both at most.
  [[nodiscard]] inline double fragmentation() const noexcept {
    return peak_bytes == 0 ? 0 : static_cast<double>(peak_held) / static_cast<double>(peak_bytes);
  }
};
/// Writes it as a few lines of text.
std::ostream& operator<<(std::ostream& os, const replay_summary& summary);

/// A resource that handed out a block where another is, or lost what was in one.
class replay_error : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

/// A trace, read and made ready to run.
class replayer {
 public:
  /// Reads the trace, as far as it is whole.
  /// Throws: system_error when it cannot be read, trace_error when it is none, bad_alloc.
  explicit replayer(file_path path);
  replayer(const replayer&) = delete;
  replayer& operator=(const replayer&) = delete;
  ~replayer();

  /// What is known without a run: all but seconds and peak_held.
  [[nodiscard]] const replay_summary& summary() const noexcept;
  /// The capacity with which a bump_resource has room for all blocks together, in any order: they begin at multiples of
  /// 16, and stricter ones with the most padding that they can need.
  [[nodiscard]] std::size_t total_bytes() const noexcept;
  /// The most recorded threads at the same time.
  [[nodiscard]] std::uint32_t concurrent_threads() const noexcept;

  /// Runs it. `peak_held` is the greatest capacity() of the resource, where that grows as needed; of any other, by how
  /// much the resident memory of the process has grown, which says something when little was free in the heap before.
  /// Throws: replay_error; what the resource throws when it has no memory; system_error when there are too many
  /// threads. All blocks have been given back then.
  template <std::derived_from<std::pmr::memory_resource> R>
  replay_summary run(R& resource, const replay_options& options = {}) const {
    if constexpr (
        requires {
          { resource.capacity() } -> std::convertible_to<std::size_t>;
        } && !requires { resource.available(); } && !detail::summing_over_threads<R>)
      return run_on(
          resource, [](const void* of) -> std::size_t { return static_cast<const R*>(of)->capacity(); }, &resource,
          options);
    else
      return run_on(resource, nullptr, nullptr, options);
  }

 private:
  struct state;
  using probe = std::size_t (*)(const void* of);
  replay_summary run_on(std::pmr::memory_resource& resource, probe held, const void* of,
                        const replay_options& options) const;

  state* state_;
};

/// Does on the resource what the trace tells. A trace that is damaged is replayed up to there, and
/// `replay_summary::damage` is set.
template <std::derived_from<std::pmr::memory_resource> R>
replay_summary replay(file_path trace, R& resource, const replay_options& options = {}) {
  return replayer(trace).run(resource, options);
}

}  // namespace buffers
