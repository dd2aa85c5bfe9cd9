module;
#include <stdexcept>
module buffers.tensor;

namespace buffers::detail {

void throw_division_by_zero() { throw std::domain_error("buffers: an integer is divided by zero"); }

}  // namespace buffers::detail
