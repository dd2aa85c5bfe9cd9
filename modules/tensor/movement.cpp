module;
#include <cstddef>
#include <span>
#include <stdexcept>
#include <string>

#include "words.h"
module buffers.tensor;

namespace buffers::detail {

void throw_order(const std::ptrdiff_t* order, std::size_t rank) {
  throw std::invalid_argument("buffers: permute: the order " + words(std::span(order, rank)) +
                              " does not name every dimension once");
}

void throw_axis(int axis, std::size_t rank) {
  throw std::out_of_range("buffers: transpose: axis " + std::to_string(axis) + " is out of range for an array of " +
                          std::to_string(rank) + (rank == 1 ? " dimension" : " dimensions"));
}

std::size_t inferred_extent(shape_span shape, const std::ptrdiff_t* wanted, std::size_t rank) {
  const auto refusal = [&](const std::string& why) { return std::invalid_argument("buffers: reshape: " + why); };
  const auto asked_for = [&] { return "shape " + words(std::span(wanted, rank)); };
  std::size_t unknown = 0;
  bool is_empty = false;
  for (std::size_t d = 0; d < rank; ++d) {
    if (wanted[d] < -1)
      throw refusal(asked_for() + " has the extent " + std::to_string(wanted[d]) +
                    "; the only negative one may be a -1, for what is left");
    unknown += wanted[d] == -1 ? 1 : 0;
    is_empty |= wanted[d] == 0;
  }
  if (unknown == 0) return 0;
  if (unknown > 1) throw refusal(asked_for() + " has more than one -1");
  std::size_t known = is_empty ? 0 : 1, count = 1;
  for (std::size_t d = 0; d < rank && !is_empty; ++d)
    if (wanted[d] != -1) known = multiply(known, static_cast<std::size_t>(wanted[d]));
  for (const std::size_t extent : shape) count *= extent;
  if (known == 0 || count % known != 0)
    throw refusal("the " + std::to_string(count) + " elements of shape " + words(shape) + " cannot be divided into " +
                  asked_for());
  return count / known;
}

bool reshape_strides(shape_span shape, const std::ptrdiff_t* strides, shape_span to,
                     std::ptrdiff_t* to_strides) noexcept {
  std::size_t next = 1;  // which may be beyond all numbers where the array is empty
  bool is_empty = false;
  for (std::size_t d = to.size(); d-- > 0; next *= to[d]) {
    to_strides[d] = static_cast<std::ptrdiff_t>(next);
    is_empty |= to[d] == 0;
  }
  if (is_empty) return true;
  // Runs of dimensions on either side that have the same number of elements: within one, the old dimensions must lie
  // without gaps, in whatever steps, and the new ones divide it.
  std::size_t from = shape.size(), into = to.size();
  while (from > 0 || into > 0) {
    while (from > 0 && shape[from - 1] == 1) --from;
    std::size_t old_run = 1, new_run = 1;
    if (from == 0) break;  // what is left on the other side has size 1
    const std::ptrdiff_t step = strides[from - 1];
    std::ptrdiff_t expected = step;
    do {
      if (new_run >= old_run && from > 0) {
        const std::size_t d = --from;
        if (shape[d] != 1 && strides[d] != expected) return false;
        old_run *= shape[d];
        expected = step * static_cast<std::ptrdiff_t>(old_run);
      } else {
        const std::size_t d = --into;
        to_strides[d] = step * static_cast<std::ptrdiff_t>(new_run);
        new_run *= to[d];
      }
    } while (old_run != new_run);
  }
  return true;
}

}  // namespace buffers::detail
