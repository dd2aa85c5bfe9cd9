// The file format of a trace, which trace_writer.h writes and trace_reader reads. It needs no C++ runtime.
//
//     file     ┌────────┬─────────┬─────────┬─────────┐    chunk   ┌────────┬────────┬────────┬──────┐
//              │ header │ chunk 0 │ chunk 1 │ chunk 2 │ …          │ thread │ record │ record │ 0000 │
//              └────────┴─────────┴─────────┴─────────┘            └────────┴────────┴────────┴──────┘
//              0        4 KiB     68 KiB    132 KiB
//
// Records are numbered from 0 without a gap, over all threads: a missing one is noticed. A thread fills a chunk of its
// own; records are in order within a chunk, and a reader merges the chunks.
//
//     record   ┌──────────────────────────┬──────────────┬────────┬───────────┬─────────┐
//              │ 32 bits: operation 3,    │ number − the │ ticks  │ address   │ bytes   │  the last four in as many
//              │ log2 of the alignment 5, │ one before   │ since  │ − the one │         │  bytes as each needs
//              │ lengths 4 x 3, check 12  │ − 1          │        │ before    │         │
//              └──────────────────────────┴──────────────┴────────┴───────────┴─────────┘
//
// A record of the operation `thread` has no number. It says whose records follow (in `bytes`), and, in full, from which
// number and ticks on; the address before is 0. A zero word ends a chunk. All integers are little-endian.
//
// Every flipped bit is noticed: the upper four bits of the check are such that the word's nibbles, without the lower
// eight, come to nought by exclusive or; the lower eight are the top of a product of the values with a constant that
// has neither eight equal bits in a row nor a zero in its last place.
#pragma once
#include <stddef.h>
#include <stdint.h>
#include <string.h>

namespace buffers::trace_file {

inline constexpr size_t header_bytes = 4096;
inline constexpr size_t chunk_bytes = 64 * 1024;
inline constexpr size_t longest_record = 4 + 4 * 8;
inline constexpr unsigned largest_log_alignment = 30;  // that of a stricter block as well

enum operation : uint8_t { end_of_chunk, thread, allocate, deallocate, failed, move, operations };

// --- the header ------------------------------------------------------------------------------------------------------

/// What is written once.
struct origin {
  char magic[8] = {'b', 'u', 'f', 't', 'r', 'a', 'c', 'e'};
  uint32_t version = 1;
  uint32_t chunk = chunk_bytes;
  uint64_t process = 0;
  int64_t started = 0;      // nanoseconds since 1970
  char command[1024] = {};  // NUL between the arguments
  uint64_t check = 0;       // checksum() of all before it
};

/// What is written again and again.
struct progress {
  uint64_t records = 0;      // so many are in the file
  uint64_t ticks = 0;        // since the start...
  uint64_t nanoseconds = 0;  // ... are this
  uint32_t finished = 0;     // whether the recording has ended, and no process was killed in the middle of it
  uint32_t error = 0;        // why there are no further records: an errno
  uint64_t check = 0;        // checksum() of all before it
};
inline constexpr size_t progress_at = 2048;

/// Differs where a single word of the two differs.
inline uint64_t checksum(const void* first, size_t bytes) noexcept {
  uint64_t sum = bytes;
  for (size_t i = 0; i < bytes; i += sizeof sum) {
    uint64_t word;
    memcpy(&word, static_cast<const char*>(first) + i, sizeof word);
    sum = (sum ^ word) * 0x9e3779b97f4a7c15u;
    sum ^= sum >> 29;
  }
  return sum;
}
template <class Part>
uint64_t check_of(const Part& part) noexcept {
  return checksum(&part, offsetof(Part, check));
}

// --- records ---------------------------------------------------------------------------------------------------------

struct fields {
  uint64_t number;  // as in the picture above: differences
  uint64_t ticks;
  uint64_t address;  // zigzag
  uint64_t bytes;
};

inline uint64_t zigzag(uint64_t difference) noexcept {
  return difference << 1 ^ (0 - (difference >> 63));
}
inline uint64_t unzigzag(uint64_t coded) noexcept { return coded >> 1 ^ (0 - (coded & 1)); }

/// The check of a record, of which `word` has all but that.
inline uint32_t check_bits(uint32_t word, const fields& f) noexcept {
  uint32_t nibbles = word ^ word >> 16;
  nibbles ^= nibbles >> 8;
  nibbles ^= nibbles >> 4;
  // The four are rotated, so that a value that moves to another place is noticed as well.
  const auto rotated = [](uint64_t value, int by) { return value << by | value >> (64 - by); };
  const uint64_t values = f.number ^ rotated(f.ticks, 17) ^ rotated(f.address, 31) ^ rotated(f.bytes, 47);
  return (nibbles & 15) << 20 | static_cast<uint32_t>(values * 0x9e3779b97f4a7c15u >> 56) << 24;
}

/// Writes a record to `to`, which has room for longest_record + 8 bytes, and returns its end.
inline unsigned char* encode(unsigned char* to, operation op, unsigned log_alignment, const fields& f) noexcept {
  uint32_t word = op | log_alignment << 3;
  unsigned char* at = to + sizeof word;
  int shift = 8;
  const auto put = [&](uint64_t value) {
    const unsigned bytes = value == 0 ? 0 : (71u - static_cast<unsigned>(__builtin_clzll(value))) / 8;
    const unsigned code = bytes < 7 ? bytes : 7;  // which stands for 8
    memcpy(at, &value, sizeof value);
    at += code + (code == 7);
    word |= code << shift;
    shift += 3;
  };
  put(f.number);
  put(f.ticks);
  put(f.address);
  put(f.bytes);
  word |= check_bits(word, f);
  memcpy(to, &word, sizeof word);
  return at;
}

/// Reads the record that begins at `at`, of which `available` bytes are there. Its length; 0 when it is none.
inline size_t decode(const unsigned char* at, size_t available, operation& op, unsigned& log_alignment,
                     fields& f) noexcept {
  uint32_t word;
  if (available < sizeof word) return 0;
  memcpy(&word, at, sizeof word);
  size_t length = sizeof word;
  int shift = 8;
  uint64_t* const values[] = {&f.number, &f.ticks, &f.address, &f.bytes};
  for (uint64_t* const value : values) {
    const size_t code = word >> shift & 7;
    const size_t bytes = code + (code == 7);
    if (available - length < bytes) return 0;
    *value = 0;
    memcpy(value, at + length, bytes);
    length += bytes;
    shift += 3;
  }
  op = static_cast<operation>(word & 7);
  log_alignment = word >> 3 & 31;
  if (op == end_of_chunk || op >= operations || check_bits(word & 0xfffff, f) != (word & ~0xfffffu)) return 0;
  return length;
}

}  // namespace buffers::trace_file
