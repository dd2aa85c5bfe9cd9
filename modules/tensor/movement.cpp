module;
#include <cstddef>
#include <stdexcept>
#include <vector>
module buffers.tensor;

namespace buffers::detail {

void throw_order() { throw std::invalid_argument("buffers: permute: the order does not name every dimension once"); }

std::size_t inferred_extent(shape_span shape, const std::ptrdiff_t* wanted, std::size_t rank) {
  std::size_t known = 1, unknown = 0, count = 1;
  for (std::size_t d = 0; d < rank; ++d) {
    if (wanted[d] == -1)
      ++unknown;
    else
      known = multiply(known, to_size(wanted[d]));
  }
  for (const std::size_t extent : shape) count *= extent;
  if (unknown > 1) throw_shape("reshape", shape, "cannot take a shape with more than one -1");
  if (unknown == 1 && (known == 0 || count % known != 0))
    throw_shape("reshape", shape, "is no multiple of the other extents that are asked for, and leaves none for the -1");
  return unknown == 1 ? count / known : 0;
}

bool reshape_strides(shape_span shape, const std::ptrdiff_t* strides, shape_span to,
                     std::ptrdiff_t* to_strides) noexcept {
  std::ptrdiff_t next = 1;
  for (std::size_t d = to.size(); d-- > 0; next *= static_cast<std::ptrdiff_t>(to[d])) to_strides[d] = next;
  if (next == 0) return true;
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
