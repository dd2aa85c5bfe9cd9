module;
#include <cstdint>
#include <random>
#include <stdexcept>
#include <string>
module buffers.tensor;

namespace buffers::detail {

void throw_arange(const char* why) { throw std::invalid_argument(std::string("buffers: arange: ") + why); }

namespace {

// As std::seed_seq, which takes memory from the heap. From splitmix64: Steele, Lea, Flood, "Fast splittable
// pseudorandom number generators", 2014.
struct seed_sequence {
  using result_type = std::uint_least32_t;
  std::uint64_t state;

  void generate(auto first, auto last) {
    for (; first != last; ++first) {
      std::uint64_t z = state += 0x9e3779b97f4a7c15;
      z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
      z = (z ^ z >> 27) * 0x94d049bb133111eb;
      *first = static_cast<result_type>((z ^ z >> 31) >> 32);
    }
  }
};

}  // namespace

std::uint64_t random_bits() {
  thread_local std::mt19937_64 engine = [] {
    std::random_device device;
    seed_sequence seed{std::uint64_t{device()} << 32 | device()};
    return std::mt19937_64(seed);
  }();
  return engine();
}

}  // namespace buffers::detail
