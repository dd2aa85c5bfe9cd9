#include <cstdint>

#include "compare.h"
import buffers;

namespace numpy {
namespace {

// f(index...) for the indices that the words say, of which there are as many as the array has dimensions.
template <std::size_t Rank, class F, class... I>
bool with_indices(words& line, F f, I... indices) {
  if constexpr (sizeof...(I) == Rank) {
    return f(indices...);
  } else {
    const std::string kind = word(line);
    if (kind == "i") return with_indices<Rank>(line, f, indices..., whole(line));
    if (kind == "a") return with_indices<Rank>(line, f, indices..., buffers::all);
    const auto bound = [&]() -> buffers::bound {
      const std::string text = word(line);
      if (text == "-") return buffers::all;
      return std::stol(text);
    };
    const buffers::bound first = bound(), last = bound();
    return with_indices<Rank>(line, f, indices..., buffers::range{first, last, whole(line)});
  }
}

}  // namespace

bool slice(words& line) {
  const array<std::int64_t> all(line);
  return with_rank<1, 3>(all.shape.size(), [&](auto rank) {
    const auto t = all.as<rank>();
    return with_indices<rank>(line, [&](auto... index) {
      const array<std::int64_t> wanted(line);
      if constexpr ((std::integral<decltype(index)> && ...))
        return wanted.values.size() == 1 && t[index...] == wanted.values[0] && t.at(index...) == wanted.values[0];
      else
        return is(t[index...], wanted);
    });
  });
}

bool fill(words& line) {
  const array<std::int64_t> all(line);
  return with_rank<1, 3>(all.shape.size(), [&](auto rank) {
    auto t = all.as<rank>();
    return with_indices<rank>(line, [&](auto... index) {
      t[index...] = -7;
      return is(t, array<std::int64_t>(line));
    });
  });
}

}  // namespace numpy
