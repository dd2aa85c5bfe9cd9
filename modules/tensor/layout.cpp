module;
#include <cstddef>
#include <stdexcept>
#include <string>

#include "words.h"
module buffers.tensor;

namespace buffers::detail {

void throw_shapes(const char* what, shape_span one, shape_span other, const char* why) {
  throw std::invalid_argument(std::string("buffers: ") + what + ": shapes " + words(one) + " and " + words(other) +
                              " " + why);
}

}  // namespace buffers::detail
