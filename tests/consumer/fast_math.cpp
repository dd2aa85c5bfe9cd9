// Integers are divided exactly, whatever the project's options say of floating-point numbers.
#include <cstddef>
#include <cstdint>
#include <memory_resource>
import buffers;

namespace {

template <class T>
bool divides(T largest) {
  const auto dividends = buffers::arange<T>(0, largest);
  buffers::tensor<T, 1> quotients;
  for (T divisor = 1; divisor < 100; ++divisor) {
    quotients = dividends / divisor;
    for (std::size_t i = 0; i < dividends.numel(); ++i)
      if (quotients[i] != static_cast<T>(dividends[i] / divisor)) return false;
  }
  return true;
}

}  // namespace

int main() { return divides<std::uint8_t>(255) && divides<std::int16_t>(2000) && divides<std::int32_t>(5000) ? 0 : 1; }
