#include <cstdint>

#include "compare.h"
import buffers;

namespace numpy {

using integer_array = array<std::int64_t>;

bool permute(words& line) {
  const auto i = whole(line), j = whole(line), k = whole(line);
  const auto t = integer_array(line).as<3>();
  return is(buffers::permute(t, {i, j, k}), integer_array(line));
}

bool reshape(words& line) {
  const auto rows = whole(line), columns = whole(line);
  const auto t = integer_array(line).as<3>();
  return is(buffers::reshape(t, {rows, columns}), integer_array(line));
}

bool tril(words& line) {
  const auto diagonal = whole(line);
  const auto t = integer_array(line).as<2>();
  return is(buffers::tril(t, diagonal), integer_array(line));
}

bool concatenate(words& line) {
  const auto axis = whole(line);
  const auto a = integer_array(line).as<2>(), b = integer_array(line).as<2>();
  const integer_array wanted(line);
  return axis == 0 ? is(buffers::concatenate<0>(a, b), wanted) : is(buffers::concatenate<1>(a, b), wanted);
}

bool expand(words& line) {
  const auto i = whole(line), j = whole(line), k = whole(line);
  const auto t = integer_array(line).as<2>();
  return is(buffers::expand(t, {i, j, k}), integer_array(line));
}

namespace {

template <class T>
bool read_and_write(const std::string& folder, const std::string& name, words& line) {
  const array<T> wanted(line);
  return with_rank<0, 3>(wanted.shape.size(), [&](auto rank) {
    const auto t = buffers::load_npy<T, rank>(folder + '/' + name);
    buffers::save_npy(folder + "/ours-" + name, t);
    std::array<std::ptrdiff_t, rank> backwards{};
    const auto strides = t.strides();
    for (std::size_t d = 0; d < rank; ++d) backwards[d] = -strides[d];
    const T* const last = t.data() + (t.numel() == 0 ? 0 : t.numel() - 1);
    buffers::save_npy(folder + "/view-" + name, buffers::tensor_view<const T, rank>(last, t.shape(), backwards));
    return is(t, wanted);
  });
}

}  // namespace

bool file(const std::string& folder, words& line) {
  const std::string name = word(line), kind = word(line);
  if (kind == "b1") return read_and_write<bool>(folder, name, line);
  if (kind == "i1") return read_and_write<std::int8_t>(folder, name, line);
  if (kind == "i2") return read_and_write<std::int16_t>(folder, name, line);
  if (kind == "i4") return read_and_write<std::int32_t>(folder, name, line);
  if (kind == "i8") return read_and_write<std::int64_t>(folder, name, line);
  if (kind == "u1") return read_and_write<std::uint8_t>(folder, name, line);
  if (kind == "u2") return read_and_write<std::uint16_t>(folder, name, line);
  if (kind == "u4") return read_and_write<std::uint32_t>(folder, name, line);
  if (kind == "u8") return read_and_write<std::uint64_t>(folder, name, line);
  if (kind == "f4") return read_and_write<float>(folder, name, line);
  return kind == "f8" && read_and_write<double>(folder, name, line);
}

}  // namespace numpy
