// Traces: of records as a writer makes them, of which some bytes may then be others. What is read of a damaged file has
// to be what was written, up to where the reader says that it is damaged.
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory_resource>
#include <span>
#include <sstream>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "fuzz/target.hpp"
#include "support/require.hpp"
#include "usage/trace_file.h"
import buffers;

namespace file = buffers::trace_file;

namespace {

class program {
 public:
  explicit program(choices& from) : from_(from) {}

  std::size_t run() {
    bytes_.resize(file::header_bytes);
    const std::size_t chunks = 1 + from_.up_to(2), events = from_.up_to(255);
    write_chunks(chunks, events);
    write_header(events);
    // A flipped bit is always noticed; several may make up for each other.
    const std::size_t flips = from_.one_in(2) ? 0 : 1 + from_.up_to(1) * from_.up_to(7);
    for (std::size_t i = 0; i < flips; ++i) bytes_[place()] ^= std::byte{1} << from_.up_to(7);
    const std::size_t all = bytes_.size();
    if (from_.one_in(8)) bytes_.resize(from_.below(all));
    read(flips < 2, flips == 0 && bytes_.size() == all);
    if (from_.one_in(4)) draw();
    return written_.size() + 1;
  }

 private:
  /// In the header, or among the records.
  std::size_t place() {
    const std::size_t at = from_.up_to(4095);
    return from_.one_in(4) ? at : std::min(file::header_bytes + at, bytes_.size() - 1);
  }

  // Each thread has a chunk, and writes the next event or not.
  void write_chunks(std::size_t chunks, std::size_t events) {
    struct thread {
      std::vector<unsigned char> text;
      std::uint64_t next = 0, ticks = 0, address = 0;
    };
    std::vector<thread> threads(chunks);
    unsigned char room[file::longest_record + 8];
    std::uint64_t ticks = 0;
    for (std::size_t number = 0; number < events; ++number) {
      const std::size_t which = from_.below(chunks);
      thread& its = threads[which];
      ticks += from_.up_to(from_.one_in(16) ? std::size_t{1} << 62 : 200);
      const std::uint64_t address = from_.up_to(from_.one_in(4) ? SIZE_MAX : 4095),
                          size = from_.up_to(from_.one_in(8) ? SIZE_MAX : 255);
      const unsigned log_alignment = static_cast<unsigned>(from_.up_to(30));
      const auto op = static_cast<file::operation>(file::allocate + from_.up_to(3));
      if (its.text.empty()) {
        its = {{}, number, ticks, address};
        append(its.text, room, file::encode(room, file::thread, 0, {number, ticks, file::zigzag(address), which + 1}));
      }
      append(its.text, room,
             file::encode(room, op, log_alignment,
                          {number - its.next, ticks - its.ticks, file::zigzag(address - its.address), size}));
      its.next = number + 1;
      its.ticks = ticks;
      its.address = address;
      written_.push_back({number, ticks, static_cast<std::uint32_t>(which + 1),
                          static_cast<buffers::trace_operation>(op - file::allocate), address, size,
                          std::size_t{1} << log_alignment});
    }
    for (const thread& its : threads) {
      if (its.text.empty()) continue;
      const std::size_t at = bytes_.size();
      bytes_.resize(at + file::chunk_bytes);
      std::memcpy(bytes_.data() + at, its.text.data(), its.text.size());
    }
  }
  static void append(std::vector<unsigned char>& to, const unsigned char* first, const unsigned char* end) {
    to.insert(to.end(), first, end);
  }

  void write_header(std::size_t events) {
    file::origin origin;
    origin.process = from_.up_to(255);
    origin.check = check_of(origin);
    file::progress progress;
    progress.records = events;
    progress.ticks = from_.one_in(4) ? from_.up_to(SIZE_MAX) : 0;
    progress.nanoseconds = from_.one_in(4) ? from_.up_to(SIZE_MAX) : 0;
    progress.finished = from_.one_in(2);
    progress.check = check_of(progress);
    scaled_ = progress.ticks != 0;
    std::memcpy(bytes_.data(), &origin, sizeof origin);
    std::memcpy(bytes_.data() + file::progress_at, &progress, sizeof progress);
  }

  void read(bool exact, bool whole) {
    std::size_t count = 0;
    bool complete = false;
    try {
      buffers::trace_reader reader{std::span<const std::byte>(bytes_)};
      buffers::trace_event event;
      try {
        for (; reader.next(event); ++count) {
          require(event.number == count);
          require(event.alignment != 0 && (event.alignment & (event.alignment - 1)) == 0);
          if (exact) check(event, written_.at(count));
        }
        complete = true;
      } catch (const buffers::trace_error& error) {
        require(error.record() == count);
        require(!reader.next(event));
      }
    } catch (const buffers::trace_error& error) {
      require(error.record() == 0 && count == 0);
    }
    if (whole) require(complete && count == written_.size());
    if (exact && complete) require(count == written_.size());
  }
  /// Any trace can be drawn, up to where it is damaged.
  void draw() const {
    static const int in_memory = memfd_create("trace", 0);
    static const std::string path = "/proc/self/fd/" + std::to_string(in_memory);
    require(ftruncate(in_memory, 0) == 0);
    require(pwrite(in_memory, bytes_.data(), bytes_.size(), 0) == static_cast<ssize_t>(bytes_.size()));
    for (const auto format : {buffers::picture_format::text, buffers::picture_format::svg})
      for (const auto kind : {buffers::picture_kind::timeline, buffers::picture_kind::map}) try {
          std::ostringstream os;
          static_cast<void>(buffers::draw_trace(os, path, {.format = format, .kind = kind}));
          require(!os.str().empty());
        } catch (const buffers::trace_error&) {  // not even its header
        }
  }
  void check(const buffers::trace_event& read, const buffers::trace_event& written) const {
    require(read.thread == written.thread && read.operation == written.operation);
    require(read.address == written.address && read.bytes == written.bytes && read.alignment == written.alignment);
    require(scaled_ || read.nanoseconds == written.nanoseconds);
  }

  choices& from_;
  std::vector<std::byte> bytes_;
  std::vector<buffers::trace_event> written_;
  bool scaled_ = false;
};

}  // namespace

std::size_t play(choices& from) { return program(from).run(); }
