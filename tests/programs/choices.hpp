// Where a random program takes its decisions from: a generator with a seed, or the bytes of a fuzzer.
#pragma once
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <random>
#include <span>
#include <utility>

class choices {
 public:
  explicit choices(unsigned seed) : random_(seed) {}
  explicit choices(std::span<const std::uint8_t> bytes) : bytes_(bytes), are_bytes_(true) {}

  /// Whether the bytes have come to their end: from then on, each choice is 0.
  bool done() const { return are_bytes_ && bytes_.empty(); }

  /// A number from 0 to n. Takes as many bytes as n has.
  std::size_t up_to(std::size_t n) {
    std::size_t drawn = 0;
    if (are_bytes_)
      for (std::size_t rest = n; rest != 0 && !bytes_.empty(); rest >>= 8, bytes_ = bytes_.subspan(1))
        drawn = drawn << 8 | bytes_.front();
    else
      drawn = random_();
    return n == SIZE_MAX ? drawn : drawn % (n + 1);
  }
  std::size_t below(std::size_t n) { return up_to(n - 1); }
  bool one_in(std::size_t n) { return below(n) == 0; }

  /// All bytes that are left.
  std::span<const std::uint8_t> rest() { return std::exchange(bytes_, {}); }

  template <class Range>
  void shuffle(Range& range) {
    for (std::size_t i = range.size(); i > 1; --i) std::swap(range[i - 1], range[below(i)]);
  }

 private:
  std::mt19937_64 random_;
  std::span<const std::uint8_t> bytes_;
  bool are_bytes_ = false;
};

/// Whether memory that was filled with one value has it still; in passing, of a long block at both ends only.
inline bool is_filled(const std::byte* first, std::size_t bytes, std::byte with, bool in_passing) {
  constexpr std::size_t ends = 64;
  if (in_passing && bytes > 4 * ends)
    return is_filled(first, ends, with, false) && is_filled(first + bytes - ends, ends, with, false);
  // The first byte is right, and each is as the one before it.
  return bytes == 0 || (*first == with && std::memcmp(first, first + 1, bytes - 1) == 0);
}
