module;
#include <cstdint>
#include <random>
#include <stdexcept>
#include <string>
module buffers.tensor;

namespace buffers::detail {

void throw_arange(const char* why) { throw std::invalid_argument(std::string("buffers: arange: ") + why); }

std::uint64_t random_bits() {
  thread_local std::mt19937_64 engine = [] {
    std::random_device device;
    std::seed_seq seed{device(), device(), device(), device(), device(), device(), device(), device()};
    return std::mt19937_64(seed);
  }();
  return engine();
}

}  // namespace buffers::detail
