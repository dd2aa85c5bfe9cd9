module;
#include <stdexcept>
#include <string>
module buffers.tensor;

namespace buffers::detail {

void throw_no_elements(const char* what) {
  throw std::invalid_argument(std::string("buffers: ") + what + ": there are no elements");
}

}  // namespace buffers::detail
