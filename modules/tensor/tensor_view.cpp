module;
#include <stdexcept>
#include <string>
module buffers.tensor;

namespace buffers::detail {

void throw_mdspan(const char* why) { throw std::invalid_argument(std::string("buffers: mdspan: ") + why); }

void throw_ragged() { throw std::invalid_argument("buffers: tensor: the lists in braces have different lengths"); }

}  // namespace buffers::detail
