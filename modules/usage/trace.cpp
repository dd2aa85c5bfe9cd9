module;
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <queue>
#include <span>
#include <string>
#include <string_view>
#include <system_error>
#include <vector>

#include "trace_file.h"
module buffers.usage;

namespace buffers {

namespace {

// What errors begin with.
std::string about(const char* file) {
  return file != nullptr ? std::string("buffers: ") + file + ": " : std::string("buffers: ");
}

}  // namespace

trace_error::trace_error(std::uint64_t record, const char* what, const char* file)
    : std::runtime_error(about(file) + "record " + std::to_string(record) + ": " + what), record_(record) {}

namespace {

/// The bytes of a file, or of memory.
class source {
 public:
  explicit source(const char* path)
      : path_(path), file_(open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC)) {  // a FIFO would wait
    struct stat is;
    if (file_ < 0 || fstat(file_, &is) != 0) fail(errno);
    if (S_ISDIR(is.st_mode)) fail(EISDIR);
    if (!S_ISREG(is.st_mode)) fail(EINVAL, ": not a regular file");
    is_being_written_ = detail::flush_recording(is.st_dev, is.st_ino);
    if (fstat(file_, &is) != 0) fail(errno);
    size_ = static_cast<std::uint64_t>(is.st_size);
  }
  explicit source(std::span<const std::byte> bytes) : bytes_(bytes), size_(bytes.size()) {}
  source(const source&) = delete;
  source& operator=(const source&) = delete;
  ~source() {
    if (file_ >= 0) close(file_);
  }

  std::uint64_t size() const { return size_; }
  /// Whether this program still records it.
  bool is_being_written() const { return is_being_written_; }
  /// Null for memory.
  const char* path() const { return file_ >= 0 ? path_.c_str() : nullptr; }
  /// Where bytes are that are not in a hole, from `at` on, as far as the system knows of holes.
  std::uint64_t next_data(std::uint64_t at) const {
#ifdef SEEK_DATA
    if (file_ >= 0) {
      const off_t data = lseek(file_, static_cast<off_t>(at), SEEK_DATA);
      if (data < 0) return errno == ENXIO ? size_ : at;
      return static_cast<std::uint64_t>(data);
    }
#endif
    return at;
  }
  /// How many of the bytes from `at` on are there, and those.
  std::size_t read(std::uint64_t at, void* to, std::size_t bytes) const {
    if (at >= size_) return 0;
    bytes = static_cast<std::size_t>(std::min<std::uint64_t>(bytes, size_ - at));
    if (file_ < 0) {
      std::memcpy(to, bytes_.data() + at, bytes);
      return bytes;
    }
    std::size_t done = 0;
    while (done < bytes) {
      const ssize_t got = pread(file_, static_cast<char*>(to) + done, bytes - done, static_cast<off_t>(at + done));
      if (got < 0 && errno != EINTR)
        throw std::system_error(errno, std::generic_category(), about(path()) + "cannot be read");
      if (got == 0) break;  // it has become shorter
      if (got > 0) done += static_cast<std::size_t>(got);
    }
    return done;
  }

 private:
  [[noreturn]] void fail(int error, const char* why = "") {
    if (file_ >= 0) close(file_);
    throw std::system_error(error, std::generic_category(), "buffers: " + path_ + why);
  }

  std::string path_;
  int file_ = -1;
  bool is_being_written_ = false;
  std::span<const std::byte> bytes_;
  std::uint64_t size_;
};

/// Reads the records of one chunk.
class chunk_reader {
 public:
  // cppcheck-suppress uninitMemberVar ; the window has `filled_` bytes
  explicit chunk_reader(std::uint64_t at) : at_(at), end_(at + trace_file::chunk_bytes), window_at_(at) {}

  enum result { a_record, no_more, damaged };

  /// The next record, in full instead of as differences; its ticks in `nanoseconds`.
  result next(const source& from, trace_event& event) {
    for (;;) {
      if (filled_ - used_ < trace_file::longest_record && at_ < end_) fill(from);
      const std::size_t available = filled_ - used_;
      static constexpr unsigned char none[4] = {};
      if (available < sizeof none || std::memcmp(window_ + used_, none, sizeof none) == 0)
        return is_zero(from) ? no_more : damaged;
      trace_file::operation op;
      unsigned log_alignment;
      trace_file::fields f;
      const std::size_t length = trace_file::decode(window_ + used_, available, op, log_alignment, f);
      if (length == 0 || log_alignment > trace_file::largest_log_alignment ||
          (thread_ == 0 && op != trace_file::thread))
        return damaged;
      used_ += length;
      if (op == trace_file::thread) {
        if (f.bytes == 0 || f.bytes > UINT32_MAX || f.number < next_number_) return damaged;
        thread_ = static_cast<std::uint32_t>(f.bytes);
        next_number_ = f.number;
        ticks_ = f.ticks;
        address_ = trace_file::unzigzag(f.address);
        continue;
      }
      const std::uint64_t number = next_number_ + f.number;
      if (number < next_number_ || number + 1 == 0) return damaged;
      next_number_ = number + 1;
      ticks_ += f.ticks;
      address_ += trace_file::unzigzag(f.address);
      event = {number,
               ticks_,
               thread_,
               static_cast<trace_operation>(op - trace_file::allocate),
               address_,
               f.bytes,
               std::size_t{1} << log_alignment};
      return a_record;
    }
  }
  /// Where in the file the record is that next() has found damaged.
  std::uint64_t position() const { return window_at_ + used_; }

 private:
  void fill(const source& from) {
    std::memmove(window_, window_ + used_, filled_ - used_);
    filled_ -= used_;
    window_at_ += used_;
    used_ = 0;
    const auto room = static_cast<std::size_t>(std::min<std::uint64_t>(sizeof window_ - filled_, end_ - at_));
    const std::size_t got = from.read(at_, window_ + filled_, room);
    filled_ += got;
    at_ = got < room ? end_ : at_ + got;
  }
  /// Whether there is nothing but zeros to the end of the chunk.
  bool is_zero(const source& from) {
    for (;;) {
      for (; used_ < filled_; ++used_)
        if (window_[used_] != 0) return false;
      if (at_ == end_) return true;
      fill(from);
    }
  }

  std::uint64_t at_, end_;   // what is to be read
  std::uint64_t window_at_;  // where the window begins
  std::size_t used_ = 0, filled_ = 0;
  std::uint64_t next_number_ = 0, ticks_ = 0, address_ = 0;
  std::uint32_t thread_ = 0;
  unsigned char window_[4096 - 64];
};

/// A chunk with its next record.
struct cursor {
  explicit cursor(std::uint64_t at) : chunk(at) {}
  chunk_reader chunk;
  trace_event event;
};

std::string told_of(int error) { return std::generic_category().message(error); }

}  // namespace

struct trace_reader::state {
  template <class From>
  explicit state(const From& from) : file(from) {
    read_header();
    find_chunks();
  }

  void read_header();
  void find_chunks();
  bool next(trace_event& event);
  [[noreturn]] void end_with(const std::string& why);
  void advance(std::unique_ptr<cursor> of);
  std::uint64_t nanoseconds(std::uint64_t ticks) const;

  struct later {
    bool operator()(const std::unique_ptr<cursor>& a, const std::unique_ptr<cursor>& b) const {
      return a->event.number > b->event.number;
    }
  };
  struct chunk_start {
    std::uint64_t first, at;
  };

  source file;
  trace_file::origin origin;
  trace_file::progress progress;
  std::vector<chunk_start> chunks;  // the latest first
  std::priority_queue<std::unique_ptr<cursor>, std::vector<std::unique_ptr<cursor>>, later> open;
  std::unique_ptr<cursor> ahead;  // the one whose record comes next, most of the time
  std::uint64_t expected = 0;
  std::uint64_t damaged_at = 0;  // in the file; 0: nowhere
  bool has_ended = false;
};

void trace_reader::state::read_header() {
  unsigned char header[trace_file::header_bytes];
  const auto refuse = [&](const char* why) { throw trace_error(0, why, file.path()); };
  const std::size_t got = file.read(0, header, sizeof header);
  const trace_file::origin expected_origin;
  if (got < sizeof origin.magic || std::memcmp(header, expected_origin.magic, sizeof origin.magic) != 0)
    refuse("this is no trace");
  if (got < sizeof header) refuse("the file ends within its header");
  std::memcpy(&origin, header, sizeof origin);
  std::memcpy(&progress, header + trace_file::progress_at, sizeof progress);
  if (origin.check != check_of(origin) || progress.check != check_of(progress)) refuse("the header is damaged");
  if (origin.version != expected_origin.version || origin.chunk != expected_origin.chunk)
    refuse("this trace is of another version");
  for (std::size_t i = 0; i < sizeof header; ++i)
    if (header[i] != 0 && i >= sizeof origin &&
        (i < trace_file::progress_at || i >= trace_file::progress_at + sizeof progress))
      refuse("the header is damaged");
}

// A chunk has to be opened when its first number is due.
void trace_reader::state::find_chunks() {
  for (std::uint64_t at = trace_file::header_bytes, next; at < file.size(); at = next) {
    next = at + trace_file::chunk_bytes;
    unsigned char first[trace_file::longest_record];
    const std::size_t got = file.read(at, first, sizeof first);
    trace_file::operation op;
    unsigned log_alignment;
    trace_file::fields f;
    if (trace_file::decode(first, got, op, log_alignment, f) != 0 && op == trace_file::thread)
      chunks.push_back({f.number, at});
    else if (std::any_of(first, first + got, [](unsigned char byte) { return byte != 0; }))
      damaged_at = damaged_at == 0 ? at : damaged_at;
    else if (const std::uint64_t data = file.next_data(at); data > next)  // a file may have holes of any size
      next = data - (data - next) % trace_file::chunk_bytes;
  }
  std::ranges::sort(chunks, [](const chunk_start& a, const chunk_start& b) { return a.first > b.first; });
}

void trace_reader::state::advance(std::unique_ptr<cursor> of) {
  switch (of->chunk.next(file, of->event)) {
    case chunk_reader::a_record:
      if (ahead == nullptr && of->event.number == expected)
        ahead = std::move(of);
      else
        open.push(std::move(of));
      break;
    case chunk_reader::damaged:
      damaged_at = of->chunk.position();
      break;
    case chunk_reader::no_more:
      break;
  }
}

std::uint64_t trace_reader::state::nanoseconds(std::uint64_t ticks) const {
  if (progress.ticks == 0) return ticks;
  const double nanoseconds =
      static_cast<double>(ticks) * static_cast<double>(progress.nanoseconds) / static_cast<double>(progress.ticks);
  return static_cast<std::uint64_t>(std::min(nanoseconds, 0x1p63));  // whatever the file says
}

void trace_reader::state::end_with(const std::string& why) {
  has_ended = true;
  throw trace_error(expected, why.c_str(), file.path());
}

bool trace_reader::state::next(trace_event& event) {
  if (has_ended) return false;
  if (progress.finished != 0 && expected >= progress.records && damaged_at == 0) {
    has_ended = true;  // what a thread may have added while the recording was ended
    return false;
  }
  if (ahead == nullptr) {
    while (!chunks.empty() && chunks.back().first <= expected) {
      const std::uint64_t at = chunks.back().at;
      chunks.pop_back();
      advance(std::make_unique<cursor>(at));
    }
    if (ahead == nullptr && !open.empty() && open.top()->event.number <= expected) {
      ahead = std::move(const_cast<std::unique_ptr<cursor>&>(open.top()));
      open.pop();
    }
  }
  if (ahead != nullptr && ahead->event.number != expected) end_with("there is another one of this number");
  if (ahead == nullptr) {
    const bool more = !open.empty() || !chunks.empty();
    // What threads have added since the trace was opened may have gaps.
    if (expected >= progress.records && (file.is_being_written() || (!more && damaged_at == 0))) {
      has_ended = true;
      return false;
    }
    // A write that failed may have left a part of a record at the end of the file.
    const bool is_cut_off = damaged_at + trace_file::longest_record >= file.size() && progress.error != 0;
    if (damaged_at != 0 && !is_cut_off)
      end_with("it is damaged, at byte " + std::to_string(damaged_at) + " of the file");
    const std::uint64_t missing = progress.records - std::min(progress.records, expected);
    if (progress.error != 0)
      end_with("it could not be written: " + told_of(static_cast<int>(progress.error)) + "; " +
               std::to_string(missing) + " are missing");
    if (!more)
      end_with("the file ends before it; " + std::to_string(missing) + " of " + std::to_string(progress.records) +
               " are missing");
    end_with(progress.finished != 0 ? "it is missing" : "it was not written before the program was killed");
  }
  event = ahead->event;
  event.nanoseconds = nanoseconds(event.nanoseconds);
  ++expected;
  advance(std::move(ahead));
  return true;
}

trace_reader::trace_reader(file_path path) : state_(new state(path.c_str())) {}
trace_reader::trace_reader(std::span<const std::byte> file) : state_(new state(file)) {}
trace_reader::~trace_reader() { delete state_; }

bool trace_reader::next(trace_event& event) { return state_->next(event); }
std::uint64_t trace_reader::size() const noexcept { return state_->progress.records; }
bool trace_reader::is_finished() const noexcept { return state_->progress.finished != 0; }
std::uint64_t trace_reader::process() const noexcept { return state_->origin.process; }
std::int64_t trace_reader::started() const noexcept { return state_->origin.started; }
std::span<const char> trace_reader::command() const noexcept {
  const char* const first = state_->origin.command;
  std::size_t length = sizeof state_->origin.command;
  while (length != 0 && first[length - 1] == 0) --length;
  return {first, length};
}

}  // namespace buffers
