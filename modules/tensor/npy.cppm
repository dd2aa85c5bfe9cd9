// Arrays in the files of NumPy (.npy), of the versions 1.0 to 3.0, in both byte orders and both orders of elements.
//
//     buffers::slab_resource scratch;
//     buffers::tensor t{{1.0, 2.0}, {3.0, 4.0}};
//     buffers::save_npy("t.npy", t);                                // numpy.load("t.npy")
//     auto u = buffers::load_npy<double, 2>("t.npy", &scratch);     // numpy.save("t.npy", ...)
//
//   operation   cost                  what it does
//   load_npy    reads the file once   a tensor, row by row whatever the file's order
//   save_npy    writes it once        of a tensor or a view with any strides, as NumPy writes it
//
// A file is not trusted: what its header says is compared with the size of the file before any memory is allocated.
// Python objects and structured types are refused; nothing in a file is executed.
//
// Threads: as of the tensor; two threads may load the same file.
module;
#include <array>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <memory_resource>
#include <span>
#include <string_view>
#include <type_traits>
export module buffers.tensor:npy;
import buffers.core;
import :dtype;
import :factories;
import :tensor_class;
import :tensor_view;

export namespace buffers::detail {

/// Dimensions that a file may have; NumPy's own limit is 64, and was 32 before 2.0.
inline constexpr std::size_t npy_dimensions = 64;
/// The bytes of the longest header that is read.
inline constexpr std::size_t npy_header_bytes = 65536;

/// What a header says.
struct npy_header {
  char kind;  // 'b' bool, 'i' and 'u' integers, 'f' floating-point numbers
  std::size_t element_bytes;
  bool is_swapped;       // the other byte order than this machine's
  bool is_column_major;  // "Fortran order"
  std::size_t rank;
  std::size_t shape[npy_dimensions];
  std::size_t count;  // elements
  std::size_t begin;  // the distance of the first of them from the beginning of the file
};

/// Reads a header from the first bytes of a file: all of them, or the first npy_header_bytes of them.
/// std::runtime_error, naming the path, when they are none, or the file is too short for what it says.
[[nodiscard]] npy_header parse_npy(std::span<const std::byte> first, std::uint64_t file_bytes, const char* path);

/// A file that is open for reading, and its header. Throws as load_npy.
class npy_reader {
 public:
  explicit npy_reader(const char* path);
  npy_reader(const npy_reader&) = delete;
  npy_reader& operator=(const npy_reader&) = delete;
  ~npy_reader();

  [[nodiscard]] const npy_header& header() const noexcept { return header_; }
  /// std::runtime_error when the elements or the dimensions are others.
  void require(char kind, std::size_t element_bytes, std::size_t rank, std::string_view dtype) const;
  /// The elements, row by row, to room for all of them.
  void read(void* to) const;

 private:
  void read_bytes(void* to, std::size_t bytes, std::uint64_t from) const;
  void read_column_major(std::byte* to) const;

  const char* path_;
  int file_;
  npy_header header_;
};

/// Writes a file as save_npy; strides count elements.
void write_npy(const char* path, char kind, std::size_t element_bytes, const void* data, std::size_t rank,
               const std::size_t* shape, const std::ptrdiff_t* strides);

}  // namespace buffers::detail

namespace buffers::detail {

template <class T>
concept npy_element = element<T> && dtype_of<T> != "bfloat16" && sizeof(T) <= 8;

template <npy_element T>
inline constexpr char npy_kind = std::is_same_v<T, bool>  ? 'b'
                                 : !std::is_integral_v<T> ? 'f'
                                 : std::is_signed_v<T>    ? 'i'
                                                          : 'u';

}  // namespace buffers::detail

export namespace buffers {

/// The array of a NumPy file, whose elements must be Ts and whose dimensions must be `Rank`; its elements lie row by
/// row. Throws: std::system_error when the file cannot be opened or read; std::runtime_error, saying why, when it is
/// not such a file; what the resource throws. Nothing is allocated before it is certain that the file has all elements.
template <detail::npy_element T, std::size_t Rank>
[[nodiscard]] tensor<T, Rank> load_npy(file_path path, const std::pmr::polymorphic_allocator<>& allocator = {}) {
  const detail::npy_reader reader(path.c_str());
  reader.require(detail::npy_kind<T>, sizeof(T), Rank, dtype_of<T>);
  std::array<std::size_t, Rank> shape{};
  for (std::size_t d = 0; d < Rank; ++d) shape[d] = reader.header().shape[d];
  tensor<T, Rank> result = empty<T>(shape, allocator);
  reader.read(result.data());
  return result;
}

/// Writes a view's elements as numpy.save does: the file appears, or takes the place of an older one, when it is
/// complete; when anything goes wrong the older one stays. A view of columns is written column by column, and any other
/// row by row. Throws: std::system_error when that is not possible; std::invalid_argument above 64 dimensions.
template <class T, std::size_t Rank>
  requires detail::npy_element<std::remove_const_t<T>>
void save_npy(file_path path, const tensor_view<T, Rank>& view) {
  detail::write_npy(path.c_str(), detail::npy_kind<std::remove_const_t<T>>, sizeof(T), view.data(), Rank,
                    view.shape().data(), view.strides().data());
}
/// ... those of a tensor, or of an expression, which is computed into memory of the default resource. What computing it
/// throws passes, and nothing is written.
template <expression E>
  requires detail::npy_element<typename E::value_type>
void save_npy(file_path path, const E& elements) {
  if constexpr (requires { elements.view(); }) {
    save_npy(path, elements.view());
  } else {
    const auto computed = evaluate(elements);
    save_npy(path, computed.view());
  }
}

}  // namespace buffers
