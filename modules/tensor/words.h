// Numbers as messages show them: (2, 3), (2,) and ().
// To be included after <cstddef> and <string>.
#pragma once

namespace buffers::detail {

/// A shape, or whatever else has a size() and integers.
template <class Numbers>
std::string words(const Numbers& numbers) {
  std::string text = "(";
  for (std::size_t d = 0; d < numbers.size(); ++d) text += (d == 0 ? "" : ", ") + std::to_string(numbers[d]);
  return text + (numbers.size() == 1 ? ",)" : ")");
}

}  // namespace buffers::detail
