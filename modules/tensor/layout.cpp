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

void throw_negative(const char* what, std::ptrdiff_t value) {
  throw std::invalid_argument(std::string("buffers: ") + what + " is negative: " + std::to_string(value));
}

}  // namespace buffers::detail
