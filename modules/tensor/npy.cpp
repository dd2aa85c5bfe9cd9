module;
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <bit>
#include <cerrno>
#include <climits>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <span>
#include <stdexcept>
#include <string>
#include <string_view>
#include <system_error>
module buffers.tensor;

namespace buffers::detail {

namespace {

constexpr std::string_view magic = "\x93NUMPY";
constexpr std::size_t buffer_bytes = 32768;  // read and written at once where elements do not lie as in the file

[[noreturn]] void refuse(const char* path, const std::string& why) {
  throw std::runtime_error(std::string("buffers: ") + path + " cannot be read as a NumPy file: " + why);
}
[[noreturn]] void fail(int error, const char* what, const char* path) {
  throw std::system_error(error, std::generic_category(), std::string("buffers: ") + what + " " + path);
}

// The dictionary of a header: a subset of Python with strings, numbers, True and False, and one tuple of numbers.
class dictionary {
 public:
  dictionary(std::string_view text, const char* path) : text_(text), path_(path) {}

  void read(npy_header& header) {
    bool has_descr = false, has_order = false, has_shape = false;
    const auto once = [&](bool& has, std::string_view key) {
      if (has) refuse(path_, "its header has " + quoted(key) + " twice");
      has = true;
    };
    expect('{');
    while (!accept('}')) {
      const std::string_view key = string();
      expect(':');
      if (key == "descr") {
        once(has_descr, key);
        read_type(header);
      } else if (key == "fortran_order") {
        once(has_order, key);
        header.is_column_major = boolean();
      } else if (key == "shape") {
        once(has_shape, key);
        read_shape(header);
      } else {
        refuse(path_, "its header has the unknown key " + quoted(key));
      }
      if (!accept(',')) {
        expect('}');
        break;
      }
    }
    skip_space();
    if (!text_.empty()) refuse(path_, "its header goes on after the dictionary, with " + quoted(text_));
    if (!has_descr) refuse(path_, "its header has no 'descr'");
    if (!has_order) refuse(path_, "its header has no 'fortran_order'");
    if (!has_shape) refuse(path_, "its header has no 'shape'");
  }

 private:
  static std::string quoted(std::string_view text) {
    std::string result = "'";
    for (const char c : text.substr(0, 40)) result += c < ' ' || c > '~' ? '?' : c;
    return result + (text.size() > 40 ? "...'" : "'");
  }
  [[noreturn]] void unexpected(const std::string& wanted) const {
    refuse(path_, "its header should have " + wanted + (text_.empty() ? " where it ends" : " before " + quoted(text_)));
  }

  void skip_space() { text_.remove_prefix(std::min(text_.find_first_not_of(" \t\r\n"), text_.size())); }
  bool accept(char c) {
    skip_space();
    if (!text_.starts_with(c)) return false;
    text_.remove_prefix(1);
    return true;
  }
  void expect(char c) {
    if (!accept(c)) unexpected(quoted({&c, 1}));
  }
  bool accept_word(std::string_view word) {
    skip_space();
    if (!text_.starts_with(word)) return false;
    text_.remove_prefix(word.size());
    return true;
  }

  std::string_view string() {
    skip_space();
    if (!text_.starts_with('\'') && !text_.starts_with('"')) unexpected("a string");
    const char quote = text_.front();
    text_.remove_prefix(1);
    const std::size_t length = text_.find(quote);
    if (length == text_.npos) unexpected("the end of a string");
    const std::string_view result = text_.substr(0, length);
    if (result.contains('\\')) refuse(path_, "its header has a string with a backslash");
    text_.remove_prefix(length + 1);
    return result;
  }
  bool boolean() {
    if (accept_word("True")) return true;
    if (accept_word("False")) return false;
    unexpected("True or False");
  }
  std::size_t extent() {
    skip_space();
    if (text_.starts_with('-')) refuse(path_, "its shape has a negative dimension");
    if (text_.empty() || text_.front() < '0' || text_.front() > '9') unexpected("a dimension");
    std::size_t value = 0;
    for (; !text_.empty() && text_.front() >= '0' && text_.front() <= '9'; text_.remove_prefix(1)) {
      const std::size_t digit = static_cast<std::size_t>(text_.front() - '0');
      if (value > (largest_request - digit) / 10) refuse(path_, "its shape has a dimension that no array can have");
      value = value * 10 + digit;
    }
    accept_word("L");  // of a Python 2 of old
    return value;
  }

  void read_type(npy_header& header) {
    skip_space();
    if (text_.starts_with('[')) refuse(path_, "its elements are structures");
    const std::string_view all = string();
    std::string_view type = all;
    const char first = type.empty() ? ' ' : type.front();
    const bool has_order = first == '<' || first == '>' || first == '=' || first == '|';
    if (has_order) type.remove_prefix(1);
    const bool is_known = type == "b1" || type == "i1" || type == "u1" || type == "i2" || type == "u2" ||
                          type == "f2" || type == "i4" || type == "u4" || type == "f4" || type == "i8" ||
                          type == "u8" || type == "f8";
    if (!is_known) refuse(path_, "its elements are of the type " + quoted(all));
    header.kind = type[0];
    header.element_bytes = static_cast<std::size_t>(type[1] - '0');
    if (first == '|' && header.element_bytes > 1) refuse(path_, quoted(all) + " has no byte order");
    constexpr bool is_little = std::endian::native == std::endian::little;
    header.is_swapped = header.element_bytes > 1 && ((first == '<' && !is_little) || (first == '>' && is_little));
  }

  void read_shape(npy_header& header) {
    expect('(');
    header.rank = 0;
    bool is_tuple = true;  // (3) is a number in brackets
    while (!accept(')')) {
      if (header.rank == npy_dimensions) refuse(path_, "its shape has more than 64 dimensions");
      header.shape[header.rank++] = extent();
      is_tuple = accept(',');
      if (!is_tuple) {
        expect(')');
        break;
      }
    }
    if (header.rank == 1 && !is_tuple) refuse(path_, "its shape is a number, not a tuple");
  }

  std::string_view text_;
  const char* path_;
};

// The elements of all dimensions; throws where they have more bytes than there can be, even if there are none of them.
std::size_t count_of(const npy_header& header, const char* path) {
  std::size_t bytes = header.element_bytes;
  bool empty = false;
  for (std::size_t d = 0; d < header.rank; ++d) {
    if (header.shape[d] == 0)
      empty = true;
    else if (bytes > largest_request / header.shape[d])
      refuse(path, "its shape has more elements than an array can have");
    else
      bytes *= header.shape[d];
  }
  return empty ? 0 : bytes / header.element_bytes;
}

template <class U>
void swap_all(std::byte* elements, std::size_t count) noexcept {
  for (std::size_t i = 0; i < count; ++i) {
    U value;
    std::memcpy(&value, elements + i * sizeof(U), sizeof(U));
    value = std::byteswap(value);
    std::memcpy(elements + i * sizeof(U), &value, sizeof(U));
  }
}

// From the bytes of a file to those of this machine.
void adopt(const npy_header& header, std::byte* elements, std::size_t count) noexcept {
  if (header.is_swapped) switch (header.element_bytes) {
      case 2:
        swap_all<std::uint16_t>(elements, count);
        break;
      case 4:
        swap_all<std::uint32_t>(elements, count);
        break;
      default:
        swap_all<std::uint64_t>(elements, count);
    }
  if (header.kind == 'b')  // any other value would be no bool of C++
    for (std::size_t i = 0; i < count; ++i) elements[i] = std::byte{elements[i] != std::byte{0}};
}

}  // namespace

npy_header parse_npy(std::span<const std::byte> first, std::uint64_t file_bytes, const char* path) {
  const auto byte = [&](std::size_t i) { return std::to_integer<std::uint32_t>(first[i]); };
  if (first.size() < 10 || std::memcmp(first.data(), magic.data(), magic.size()) != 0)
    refuse(path, "it does not begin as one");
  const std::uint32_t version = byte(6);
  if (version < 1 || version > 3 || byte(7) != 0)
    refuse(path, "its version is " + std::to_string(version) + "." + std::to_string(byte(7)));
  std::size_t begin = 10, length = byte(8) | byte(9) << 8;
  if (version > 1) {
    if (first.size() < 12) refuse(path, "it ends within its header");
    begin = 12;
    length |= byte(10) << 16 | byte(11) << 24;
  }
  if (length > file_bytes - begin) refuse(path, "it ends within its header");
  if (length > first.size() - begin)
    refuse(path, "its header has " + std::to_string(length) + " bytes, and only one that ends within the first " +
                     std::to_string(npy_header_bytes) + " is read");
  npy_header header{};
  dictionary({reinterpret_cast<const char*>(first.data()) + begin, length}, path).read(header);
  header.begin = begin + length;
  header.count = count_of(header, path);
  const std::uint64_t there = file_bytes - header.begin;
  if (const std::uint64_t wanted = header.count * header.element_bytes; wanted > there)
    refuse(path, "its elements have " + std::to_string(wanted) + " bytes, and it ends after " + std::to_string(there));
  return header;
}

// --- reading ---------------------------------------------------------------------------------------------------------

npy_reader::npy_reader(const char* path) : path_(path), file_(::open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK)) {
  if (file_ < 0) fail(errno, "cannot open", path);
  try {
    struct ::stat about;
    if (::fstat(file_, &about) != 0) fail(errno, "cannot look at", path);
    if (!S_ISREG(about.st_mode)) refuse(path, "it is not a regular file");
    const auto bytes = static_cast<std::uint64_t>(about.st_size);
    std::byte first[npy_header_bytes];
    const std::size_t wanted = static_cast<std::size_t>(std::min<std::uint64_t>(bytes, sizeof first));
    read_bytes(first, wanted, 0);
    header_ = parse_npy({first, wanted}, bytes, path);
  } catch (...) {
    ::close(file_);
    throw;
  }
}

npy_reader::~npy_reader() { ::close(file_); }

void npy_reader::require(char kind, std::size_t element_bytes, std::size_t rank, std::string_view dtype) const {
  if (header_.kind != kind || header_.element_bytes != element_bytes) {
    const char* const kinds = header_.kind == 'b'   ? "bool"
                              : header_.kind == 'i' ? "int"
                              : header_.kind == 'u' ? "uint"
                                                    : "float";
    const std::string bits = header_.kind == 'b' ? "" : std::to_string(header_.element_bytes * 8);
    refuse(path_, std::string("its elements are ") + kinds + bits + ", not " + std::string(dtype));
  }
  if (header_.rank != rank)
    refuse(path_, "it has " + std::to_string(header_.rank) + " dimensions, not " + std::to_string(rank));
}

void npy_reader::read_bytes(void* to, std::size_t bytes, std::uint64_t from) const {
  for (std::byte* next = static_cast<std::byte*>(to); bytes > 0;) {
    const ssize_t got = ::pread(file_, next, std::min<std::size_t>(bytes, 1 << 30), static_cast<off_t>(from));
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) fail(errno, "cannot read", path_);
    if (got == 0) refuse(path_, "it became shorter while it was read");
    next += got;
    from += static_cast<std::uint64_t>(got);
    bytes -= static_cast<std::size_t>(got);
  }
}

void npy_reader::read(void* to) const {
  std::byte* const elements = static_cast<std::byte*>(to);
  if (header_.is_column_major && header_.rank > 1 && header_.count > 0) return read_column_major(elements);
  read_bytes(elements, header_.count * header_.element_bytes, header_.begin);
  adopt(header_, elements, header_.count);
}

// The first index is the fastest in the file, and the slowest in memory.
void npy_reader::read_column_major(std::byte* to) const {
  const std::size_t each = header_.element_bytes;
  std::size_t index[npy_dimensions] = {}, strides[npy_dimensions];
  for (std::size_t d = header_.rank, stride = each; d-- > 0; stride *= header_.shape[d]) strides[d] = stride;
  alignas(8) std::byte buffer[buffer_bytes];
  std::uint64_t from = header_.begin;
  std::size_t offset = 0;
  for (std::size_t left = header_.count; left > 0;) {
    const std::size_t count = std::min(left, buffer_bytes / each);
    read_bytes(buffer, count * each, from);
    adopt(header_, buffer, count);
    for (std::size_t i = 0; i < count; ++i) {
      std::memcpy(to + offset, buffer + i * each, each);
      for (std::size_t d = 0; d < header_.rank; ++d) {
        offset += strides[d];
        if (++index[d] < header_.shape[d]) break;
        offset -= header_.shape[d] * strides[d];
        index[d] = 0;
      }
    }
    left -= count;
    from += count * each;
  }
}

// --- writing ---------------------------------------------------------------------------------------------------------

namespace {

// A file that appears under its name when all is written, or not at all. What is no regular file, such as a pipe,
// cannot be replaced and is written to.
class new_file {
 public:
  explicit new_file(const char* path) : path_(path) {
    struct ::stat there;
    const bool exists = ::stat(path, &there) == 0;
    if (exists && !S_ISREG(there.st_mode)) {
      file_ = ::open(path, O_WRONLY | O_CLOEXEC);
      if (file_ < 0) fail(errno, "cannot write", path);
      return;
    }
    follow_links();
    static std::atomic<unsigned> number{0};
    do {
      const char* const slash = std::strrchr(target_, '/');  // beside it, by a name that is never too long
      const int folder = slash != nullptr ? static_cast<int>(slash + 1 - target_) : 0;
      const int length = std::snprintf(temporary_, sizeof temporary_, "%.*s.npy-%ld-%u", folder, target_,
                                       static_cast<long>(::getpid()), number.fetch_add(1, std::memory_order_relaxed));
      if (length < 0 || static_cast<std::size_t>(length) >= sizeof temporary_) fail(ENAMETOOLONG, "cannot write", path);
      file_ = ::open(temporary_, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    } while (file_ < 0 && errno == EEXIST);
    if (file_ < 0) fail(errno, "cannot write", path);
    is_temporary_ = true;
    if (exists) static_cast<void>(::fchmod(file_, there.st_mode & 07777));
  }
  new_file(const new_file&) = delete;
  new_file& operator=(const new_file&) = delete;
  ~new_file() {
    if (file_ >= 0) ::close(file_);
    if (is_temporary_) ::unlink(temporary_);
  }

  void write(const void* from, std::size_t bytes) {
    for (const std::byte* next = static_cast<const std::byte*>(from); bytes > 0;) {
      const ssize_t written = ::write(file_, next, std::min<std::size_t>(bytes, 1 << 30));
      if (written < 0 && errno == EINTR) continue;
      if (written < 0) fail(errno, "cannot write", path_);
      next += written;
      bytes -= static_cast<std::size_t>(written);
    }
  }
  void finish() {
    const int result = ::close(file_);
    file_ = -1;
    if (result != 0) fail(errno, "cannot write", path_);
    if (!is_temporary_) return;
    if (::rename(temporary_, target_) != 0) fail(errno, "cannot write", path_);
    is_temporary_ = false;
  }

 private:
  // The target: a symbolic link stays one, and what it leads to, which need not be there, is replaced.
  void follow_links() {
    std::size_t folder = 0;  // the characters of the folder that a link is in
    const auto append = [&](const char* name, std::size_t length) {
      if (length >= sizeof target_ - folder) fail(ENAMETOOLONG, "cannot write", path_);
      std::memcpy(target_ + folder, name, length);
      target_[folder + length] = '\0';  // NOLINT(clang-analyzer-security.ArrayBound): as was looked at above
    };
    append(path_, std::strlen(path_));
    char name[PATH_MAX];
    for (int links = 0;; ++links) {
      const ssize_t length = ::readlink(target_, name, sizeof name);
      if (length < 0) return;  // it is none
      if (links == 40) fail(ELOOP, "cannot write", path_);
      const char* const slash = name[0] != '/' ? std::strrchr(target_, '/') : nullptr;
      folder = slash != nullptr ? static_cast<std::size_t>(slash + 1 - target_) : 0;
      append(name, static_cast<std::size_t>(length));
    }
  }

  const char* path_;
  int file_ = -1;
  bool is_temporary_ = false;
  char target_[PATH_MAX];
  char temporary_[PATH_MAX + 32];
};

void write_header(new_file& file, char kind, std::size_t element_bytes, bool is_column_major, std::size_t rank,
                  const std::size_t* shape) {
  char text[256 + 24 * npy_dimensions];
  std::size_t length = 10;
  const auto print = [&](const char* format, auto value) {
    length += static_cast<std::size_t>(std::snprintf(text + length, sizeof text - length, format, value));
  };
  const char order = element_bytes == 1 ? '|' : std::endian::native == std::endian::little ? '<' : '>';
  print("{'descr': '%c", order);
  print("%c", kind);
  print("%zu', 'fortran_order': ", element_bytes);
  print("%s, 'shape': (", is_column_major ? "True" : "False");
  for (std::size_t d = 0; d < rank; ++d) print(d == 0 ? "%zu" : ", %zu", shape[d]);
  print("%s), }", rank == 1 ? "," : "");
  const std::size_t end = (length + 1 + 63) / 64 * 64;  // where the elements begin, for those that map the file
  std::memset(text + length, ' ', end - length);
  text[end - 1] = '\n';
  std::memcpy(text, magic.data(), magic.size());
  text[6] = 1;  // version 1.0
  text[7] = 0;
  text[8] = static_cast<char>((end - 10) & 0xff);
  text[9] = static_cast<char>((end - 10) >> 8);
  file.write(text, end);
}

// Whether the elements lie without gaps in row-major order, or in column-major order.
bool is_dense(std::size_t rank, const std::size_t* shape, const std::ptrdiff_t* strides,
              bool is_column_major) noexcept {
  std::size_t stride = 1;
  for (std::size_t i = 0; i < rank; ++i) {
    const std::size_t d = is_column_major ? i : rank - 1 - i;
    if (shape[d] != 1 && strides[d] != static_cast<std::ptrdiff_t>(stride)) return false;
    stride *= shape[d];
  }
  return true;
}

// All elements row by row, through a buffer.
void write_rows(new_file& file, std::size_t each, const std::byte* data, std::size_t count, std::size_t rank,
                const std::size_t* shape, const std::ptrdiff_t* strides) {
  alignas(8) std::byte buffer[buffer_bytes];
  std::size_t index[npy_dimensions] = {}, filled = 0;
  std::ptrdiff_t offset = 0;
  for (; count > 0; --count) {
    std::memcpy(buffer + filled, data + offset * static_cast<std::ptrdiff_t>(each), each);
    filled += each;
    if (filled == buffer_bytes) {
      file.write(buffer, filled);
      filled = 0;
    }
    for (std::size_t d = rank; d-- > 0;) {
      offset += strides[d];
      if (++index[d] < shape[d]) break;
      offset -= static_cast<std::ptrdiff_t>(shape[d]) * strides[d];
      index[d] = 0;
    }
  }
  file.write(buffer, filled);
}

}  // namespace

void write_npy(const char* path, char kind, std::size_t element_bytes, const void* data, std::size_t rank,
               const std::size_t* shape, const std::ptrdiff_t* strides) {
  if (rank > npy_dimensions) throw std::invalid_argument("buffers: save_npy: a NumPy file has at most 64 dimensions");
  std::size_t count = 1;
  for (std::size_t d = 0; d < rank; ++d) count *= shape[d];
  const bool by_row = count == 0 || is_dense(rank, shape, strides, false);
  const bool by_column = !by_row && is_dense(rank, shape, strides, true);
  new_file file(path);
  write_header(file, kind, element_bytes, by_column, rank, shape);
  if (by_row || by_column)
    file.write(data, count * element_bytes);
  else
    write_rows(file, element_bytes, static_cast<const std::byte*>(data), count, rank, shape, strides);
  file.finish();
}

}  // namespace buffers::detail
