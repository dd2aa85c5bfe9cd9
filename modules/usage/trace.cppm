// A trace is a file that tells which blocks a program has allocated and freed: recording_resource and the program
// buffers-trace write it, trace_reader reads it.
//
//   operation   what has happened                                        has
//   allocate    a block has come                                         address, bytes, alignment
//   deallocate  a block is about to go                                   address; bytes, alignment where they are known
//   failed      no block has come                                        bytes, alignment
//   move        as deallocate, by realloc: the same thread's next        address
//               event is the new block, or `failed`: then the old stays
//
// Events are numbered from 0 in an order in which no block comes before the one at its place has gone, whatever threads
// they are from.
//
// Threads: one at a time for a trace_reader.
//
//     {
//       buffers::recording_resource recorded{"read.trace"};
//       std::pmr::vector<int> numbers(1000, &recorded);
//     }
//     buffers::trace_reader trace{"read.trace"};
//     for (buffers::trace_event e; trace.next(e);)
//       if (e.operation == buffers::trace_operation::allocate) std::println("{}", e.bytes);
module;
#include <cstddef>
#include <cstdint>
#include <span>
#include <stdexcept>
export module buffers.usage:trace;
import buffers.core;

export namespace buffers {

/// What happened. `failed` is an allocation that was refused, `move` a deallocation by realloc, whose new block
/// follows.
enum class trace_operation : std::uint8_t { allocate, deallocate, failed, move };

/// One line of a trace.
struct trace_event {
  std::uint64_t number = 0;       // from 0, without gaps
  std::uint64_t nanoseconds = 0;  // since the recording began
  std::uint32_t thread = 0;       // from 1, in the order in which they first did something
  trace_operation operation = trace_operation::allocate;
  std::uintptr_t address = 0;
  std::size_t bytes = 0;
  std::size_t alignment = 1;  // one above 2^30 is recorded as 2^30
};

/// A file that is no trace, or a damaged one.
class trace_error : public std::runtime_error {
 public:
  /// Says "buffers: <file>: record <record>: <what>"; of a trace in memory, there is no file.
  trace_error(std::uint64_t record, const char* what, const char* file = nullptr);
  /// The number of the first event that is not there or cannot be trusted: all before it were read.
  [[nodiscard]] inline std::uint64_t record() const noexcept { return record_; }

 private:
  std::uint64_t record_;
};

/// Reads the events of a trace one after the other, whatever its size. It holds 4 KiB for each thread that recorded at
/// the same time, and 16 bytes for each 64 KiB of the file.
class trace_reader {
 public:
  /// Throws: system_error when the file cannot be read; trace_error when it does not begin as a trace does.
  explicit trace_reader(file_path path);
  /// A trace that is in memory, which must outlive this.
  explicit trace_reader(std::span<const std::byte> file);
  trace_reader(const trace_reader&) = delete;
  trace_reader& operator=(const trace_reader&) = delete;
  ~trace_reader();

  /// The next event. False when there are no more.
  /// Throws: trace_error when the next one is damaged or missing, and for the last time: then there are no more.
  /// system_error when the file cannot be read any more.
  bool next(trace_event& event);

  /// How many events the file says it has, which is to be believed when they have all been read.
  [[nodiscard]] std::uint64_t size() const noexcept;
  /// Whether the recording came to its end. It has not while it goes on, and when the program was killed: events may
  /// be missing at the end then, which no one knows of.
  [[nodiscard]] bool is_finished() const noexcept;
  /// The process that recorded; its command line, with a NUL after each argument, up to 1 KiB of it.
  [[nodiscard]] std::uint64_t process() const noexcept;
  [[nodiscard]] std::span<const char> command() const noexcept;
  /// Nanoseconds since 1970.
  [[nodiscard]] std::int64_t started() const noexcept;

 private:
  struct state;
  state* state_;
};

}  // namespace buffers
