module;
#include <cstddef>
#include <stdexcept>
#include <string>
module buffers.tensor;

namespace buffers::detail {

void throw_index(std::ptrdiff_t index, std::size_t extent) {
  throw std::out_of_range("buffers: index " + std::to_string(index) + " is beside a dimension of " +
                          std::to_string(extent));
}

void throw_step() { throw std::invalid_argument("buffers: the step of a range is 0"); }

}  // namespace buffers::detail
