module;
#include <cstddef>
#include <stdexcept>
#include <string>
module buffers.tensor;

namespace buffers::detail {

namespace {

[[noreturn]] void throw_index(const std::string& index, std::size_t extent) {
  throw std::out_of_range("buffers: index " + index + " is out of range for a dimension of " + std::to_string(extent));
}

}  // namespace

void throw_index(std::ptrdiff_t index, std::size_t extent) { throw_index(std::to_string(index), extent); }
void throw_index(std::size_t index, std::size_t extent) { throw_index(std::to_string(index), extent); }

void throw_step() { throw std::invalid_argument("buffers: the step of a range is 0"); }

}  // namespace buffers::detail
