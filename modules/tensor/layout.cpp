module;
#include <cstddef>
#include <stdexcept>
#include <string>
module buffers.tensor;

namespace buffers::detail {
namespace {

std::string words(shape_span shape) {
  std::string text = "(";
  for (std::size_t d = 0; d < shape.size(); ++d) text += (d == 0 ? "" : ", ") + std::to_string(shape[d]);
  return text + (shape.size() == 1 ? ",)" : ")");
}

}  // namespace

void throw_shapes(const char* what, shape_span one, shape_span other, const char* why) {
  throw std::invalid_argument(std::string("buffers: ") + what + ": shapes " + words(one) + " and " + words(other) +
                              " " + why);
}

void throw_shape(const char* what, shape_span shape, const char* why) {
  throw std::invalid_argument(std::string("buffers: ") + what + ": shape " + words(shape) + " " + why);
}

}  // namespace buffers::detail
