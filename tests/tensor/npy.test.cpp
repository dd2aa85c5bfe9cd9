#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <boost/test/unit_test.hpp>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <random>
#include <span>
#include <stdexcept>
#include <string>
#include <string_view>
#include <system_error>
#include <vector>
import buffers;
import buffers.testing;

using namespace std::string_literals;
using buffers::detail::npy_header;
using buffers::detail::npy_reader;
using buffers::detail::parse_npy;
using buffers::detail::write_npy;

namespace {

// A folder for the files of a test.
struct folder {
  folder() {
    char name[] = "/tmp/buffers-npy-XXXXXX";
    BOOST_REQUIRE(::mkdtemp(name));
    path = name;
  }
  ~folder() {
    std::error_code ignored;
    std::filesystem::remove_all(path, ignored);
  }
  std::string file(const std::string& name, const std::string& content) const {
    std::ofstream(path / name, std::ios::binary) << content;
    return path / name;
  }
  std::string operator/(const std::string& name) const { return path / name; }
  std::size_t files() const {
    return static_cast<std::size_t>(std::distance(std::filesystem::directory_iterator(path), {}));
  }

  std::filesystem::path path;
};

std::string content_of(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

// A file of version `major`.0 with that header, padded as NumPy does, and those elements.
std::string npy(const std::string& header, const std::string& elements, int major = 1) {
  const std::size_t before = major == 1 ? 10 : 12;
  std::string text = header;
  text.append(63 - (before + header.size()) % 64, ' ') += '\n';
  std::string result = "\x93NUMPY"s + static_cast<char>(major) + '\0';
  for (std::size_t i = 0; i < before - 8; ++i) result += static_cast<char>(text.size() >> 8 * i);
  return result + text + elements;
}
std::string header(const std::string& descr, const std::string& order, const std::string& shape) {
  return "{'descr': " + descr + ", 'fortran_order': " + order + ", 'shape': " + shape + ", }";
}
template <class T>
std::string bytes(std::initializer_list<T> values) {
  return {reinterpret_cast<const char*>(values.begin()), values.size() * sizeof(T)};
}
template <class T>
std::string swapped(std::initializer_list<T> values) {
  std::string result = bytes(values);
  for (std::size_t i = 0; i < result.size(); i += sizeof(T)) std::reverse(&result[i], &result[i] + sizeof(T));
  return result;
}

npy_header parse(std::string_view file) {
  return parse_npy(std::as_bytes(std::span(file.data(), file.size())), file.size(), "some.npy");
}

template <class T>
std::vector<T> elements(const std::string& path) {
  const npy_reader reader(path.c_str());
  std::vector<T> values(reader.header().count);
  reader.read(values.data());
  return values;
}

// Every refusal names the file and says why.
template <class F>
void refuses(F f, std::string_view why) {
  BOOST_CHECK_EXCEPTION(f(), std::runtime_error, [&](const std::runtime_error& error) {
    const std::string_view what = error.what();
    if (!what.contains(why)) BOOST_TEST_MESSAGE(what);
    return what.contains(why) && what.contains(".npy");
  });
}

}  // namespace

BOOST_AUTO_TEST_SUITE(npy_files)

BOOST_AUTO_TEST_CASE(of_every_version_are_read) {
  const folder here;
  for (int major : {1, 2, 3}) {
    const std::string path =
        here.file("t.npy", npy(header("'<i4'", "False", "(2, 3)"), bytes({1, 2, 3, 4, 5, 6}), major));
    const npy_reader reader(path.c_str());
    BOOST_TEST(reader.header().kind == 'i');
    BOOST_TEST(reader.header().element_bytes == 4u);
    BOOST_TEST(reader.header().rank == 2u);
    BOOST_TEST(reader.header().shape[0] == 2u);
    BOOST_TEST(reader.header().shape[1] == 3u);
    BOOST_TEST(reader.header().begin % 64 == 0u);
    BOOST_TEST(elements<int>(path) == (std::vector{1, 2, 3, 4, 5, 6}));
  }
}

BOOST_AUTO_TEST_CASE(of_both_byte_orders_are_read) {
  const folder here;
  BOOST_TEST(elements<std::int16_t>(
                 here.file("a.npy", npy(header("'>i2'", "False", "(2,)"), swapped<std::int16_t>({1, -2})))) ==
             (std::vector<std::int16_t>{1, -2}));
  BOOST_TEST(elements<float>(here.file("a.npy", npy(header("'>f4'", "False", "(2,)"), swapped({1.5f, -2.0f})))) ==
             (std::vector{1.5f, -2.0f}));
  BOOST_TEST(elements<double>(here.file("a.npy", npy(header("'>f8'", "True", "(1, 2)"), swapped({1.5, -2.0})))) ==
             (std::vector{1.5, -2.0}));
  BOOST_TEST(elements<std::uint8_t>(here.file("a.npy", npy(header("'>u1'", "False", "(2,)"), "ab"))) ==
             (std::vector<std::uint8_t>{'a', 'b'}));
}

BOOST_AUTO_TEST_CASE(column_by_column_are_read_row_by_row) {
  const folder here;
  const std::string path = here.file("t.npy", npy(header("'<i4'", "True", "(2, 3)"), bytes({1, 4, 2, 5, 3, 6})));
  BOOST_TEST(elements<int>(path) == (std::vector{1, 2, 3, 4, 5, 6}));
  // Larger than the buffer through which they go.
  const std::size_t shape[] = {50, 30, 40};
  std::vector<double> file(50 * 30 * 40), wanted(file.size());
  for (std::size_t i = 0, n = 0; i < 50; ++i)
    for (std::size_t j = 0; j < 30; ++j)
      for (std::size_t k = 0; k < 40; ++k, ++n) {
        wanted[n] = static_cast<double>(n);
        file[i + 50 * (j + 30 * k)] = wanted[n];
      }
  const std::ptrdiff_t strides[] = {1, 50, 1500};
  write_npy((here / "c.npy").c_str(), 'f', 8, file.data(), 3, shape, strides);
  BOOST_TEST(content_of(here / "c.npy").contains("'fortran_order': True"));
  BOOST_TEST((elements<double>(here / "c.npy") == wanted));
}

BOOST_AUTO_TEST_CASE(headers_are_read_as_python_would) {
  const auto rank_of = [](const std::string& shape) { return parse(npy(header("'|u1'", "False", shape), "x")).rank; };
  BOOST_TEST(rank_of("()") == 0u);
  BOOST_TEST(rank_of("( )") == 0u);
  BOOST_TEST(rank_of("(1,)") == 1u);
  BOOST_TEST(rank_of("(1, 1)") == 2u);
  BOOST_TEST(rank_of("(1,1,1L,)") == 3u);
  BOOST_TEST(rank_of("(0, 7)") == 2u);
  const npy_header other = parse(npy("  { \"shape\" : (1, ) ,'descr':\"|b1\",'fortran_order' : True}  ", "x"));
  BOOST_TEST(other.kind == 'b');
  BOOST_TEST(other.is_column_major);
  BOOST_TEST(parse(npy(header("'=f8'", "False", "(0,)"), "")).is_swapped == false);
}

BOOST_AUTO_TEST_CASE(that_are_none_are_refused) {
  const std::string good = npy(header("'<f8'", "False", "(2, 2)"), std::string(32, 'x'));
  BOOST_TEST(parse(good).count == 4u);
  const auto with = [&](std::size_t at, char byte) {
    std::string file = good;
    file[at] = byte;
    return file;
  };
  refuses([&] { (void)parse(""); }, "does not begin as one");
  refuses([&] { (void)parse(with(0, 'x')); }, "does not begin as one");
  refuses([&] { (void)parse("PK\3\4 and so on"); }, "does not begin as one");
  refuses([&] { (void)parse(with(6, 4)); }, "its version is 4.0");
  refuses([&] { (void)parse(with(6, 0)); }, "its version is 0.0");
  refuses([&] { (void)parse(with(7, 1)); }, "its version is 1.1");
  // Cut off anywhere.
  for (std::size_t size = 0; size < good.size(); ++size)
    refuses([&] { (void)parse(std::string_view(good).substr(0, size)); }, size < 10    ? "does not begin"
                                                                          : size < 128 ? "ends within its header"
                                                                                       : "ends after");
  refuses([&] { (void)parse(std::string_view(npy("{}", "", 2)).substr(0, 11)); }, "ends within its header");
}

BOOST_AUTO_TEST_CASE(with_headers_that_are_wrong_are_refused) {
  const auto refused = [](const std::string& text, std::string_view why) {
    refuses([&] { (void)parse(npy(text, std::string(64, 'x'))); }, why);
  };
  const std::string type = "'<f8'", order = "False", shape = "(2,)";
  refused("", "should have '{' where it ends");
  refused("[1]", "should have '{' before '[1]");
  refused("{", "should have a string");
  refused("{}", "no 'descr'");
  refused("{'descr': '<f8', 'shape': (2,)}", "no 'fortran_order'");
  refused("{'descr': '<f8', 'fortran_order': False}", "no 'shape'");
  refused("{'descr': '<f8', 'descr': '<f8', 'fortran_order': False, 'shape': ()}", "'descr' twice");
  refused("{'descr': '<f8', 'fortran_order': False, 'shape': (), 'more': 1}", "unknown key 'more'");
  refused("{'descr': '<f8' 'fortran_order': False, 'shape': ()}", "should have '}'");
  refused("{'descr': '<f8', 'fortran_order': False, 'shape': ()", "should have '}' where it ends");
  refused("{'descr': '<f8', 'fortran_order': False, 'shape': ()} + 1", "goes on after the dictionary");
  refused("{'descr", "end of a string");
  refused("{'de\\x73cr': '<f8', 'fortran_order': False, 'shape': ()}", "backslash");
  refused(header("'<f8'", "0", shape), "True or False");
  refused(header("'<f8'", "__import__('os').system('true')", shape), "True or False");
  refused(header("__import__('os')", order, shape), "a string");
  for (const char* t : {"'|O'", "'<f3'", "'<c8'", "'<U4'", "'|V2'", "''", "'<'", "'<f80'", "'<M8[ns]'"})
    refused(header(t, order, shape), "its elements are of the type");
  refused(header("'|f8'", order, shape), "no byte order");
  refused(header("[('x', '<f8')]", order, shape), "structures");
  refused(header(type, order, "2"), "should have '('");
  refused(header(type, order, "(2)"), "a number, not a tuple");
  refused(header(type, order, "(,)"), "a dimension");
  refused(header(type, order, "(2, -3)"), "negative dimension");
  refused(header(type, order, "(2, x)"), "a dimension");
  refused(header(type, order, "(2 3)"), "should have ')'");
  refused(header(type, order, "(2, 0x10)"), "should have ')'");
  refused(header(type, order, "(2, __import__('os'))"), "a dimension");
  refused(header(type, order, "(9223372036854775808,)"), "dimension that no array can have");
  refused(header(type, order, "(99999999999999999999999999,)"), "dimension that no array can have");
  refused(header(type, order, "(1152921504606846976,)"), "more elements than an array can have");
  refused(header(type, order, "(4294967296, 4294967296)"), "more elements than an array can have");
  refused(header(type, order, "(0, 4294967296, 4294967296)"), "more elements than an array can have");
  refused(header(type, order, "(9,)"), "its elements have 72 bytes, and it ends after 64");
  refused(header(type, order, "(1152921504606846975,)"), "it ends after 64");
  std::string many = "(";
  for (int i = 0; i < 65; ++i) many += "1, ";
  refused(header(type, order, many + ")"), "more than 64 dimensions");
}

BOOST_AUTO_TEST_CASE(with_a_huge_header_are_refused) {
  // It says that it has 4 GB.
  std::string file = npy(header("'<f8'", "False", "(2,)"), std::string(16, 'x'), 2);
  file[8] = file[9] = file[10] = file[11] = '\xff';
  refuses([&] { (void)parse(file); }, "ends within its header");
  const folder here;
  refuses([&] { npy_reader(here.file("a.npy", file).c_str()); }, "ends within its header");
  // ... and it has: a file with a hole.
  const std::string path = here.file("hole.npy", file);
  BOOST_REQUIRE(::truncate(path.c_str(), off_t{1} << 33) == 0);
  refuses([&] { npy_reader{path.c_str()}; },
          "its header has 4294967295 bytes, and only one that ends within the first 65536 is read");
}

BOOST_AUTO_TEST_CASE(random_headers_are_read_or_refused) {
  const std::string good = npy(header("'<f8'", "False", "(2, 3, 4)"), std::string(192, 'x'));
  std::mt19937 random{3};
  const std::string_view letters = "{}()[]',:\"\\0123456789-<>|=fiub True\n\xff";
  int read = 0;
  for (int i = 0; i < 200'000; ++i) {
    std::string file = good;
    for (unsigned changes = random() % 4 + 1; changes > 0; --changes) {
      const std::size_t at = random() % 128;
      switch (random() % 4) {
        case 0:
          file[at] = static_cast<char>(random());
          break;
        case 1:
          file[at] = letters[random() % letters.size()];
          break;
        case 2:
          file.erase(at, random() % 8);
          break;
        default:
          file.insert(at, 1, letters[random() % letters.size()]);
      }
    }
    try {
      const npy_header header = parse(file);
      BOOST_REQUIRE(header.begin + header.count * header.element_bytes <= file.size());
      ++read;
    } catch (const std::runtime_error&) {
    }
  }
  BOOST_TEST(read > 1000);
  BOOST_TEST(read < 199'000);
}

BOOST_AUTO_TEST_CASE(that_cannot_be_opened_say_why) {
  const folder here;
  BOOST_CHECK_EXCEPTION(npy_reader{(here / "none.npy").c_str()}, std::system_error, [](const std::system_error& error) {
    return error.code() == std::errc::no_such_file_or_directory && std::string_view(error.what()).contains("none.npy");
  });
  refuses([&] { npy_reader{("/dev/../" + here.path.string() + "/.npy/..").c_str()}; }, "");
  std::filesystem::create_directory(here.path / "folder.npy");
  refuses([&] { npy_reader{(here / "folder.npy").c_str()}; }, "not a regular file");
  BOOST_REQUIRE(::mkfifo((here / "pipe.npy").c_str(), 0600) == 0);
  refuses([&] { npy_reader{(here / "pipe.npy").c_str()}; }, "not a regular file");
}

BOOST_AUTO_TEST_CASE(are_written_as_numpy_does) {
  const folder here;
  const std::string path = here / "t.npy";
  const std::int32_t values[] = {1, 2, 3, 4, 5, 6};
  const std::size_t shape[] = {2, 3};
  const std::ptrdiff_t strides[] = {3, 1};
  write_npy(path.c_str(), 'i', 4, values, 2, shape, strides);
  BOOST_TEST(content_of(path) == npy(header("'<i4'", "False", "(2, 3)"), bytes({1, 2, 3, 4, 5, 6})));
  write_npy(path.c_str(), 'i', 4, values, 1, shape, strides + 1);
  BOOST_TEST(content_of(path) == npy(header("'<i4'", "False", "(2,)"), bytes({1, 2})));
  write_npy(path.c_str(), 'i', 4, values, 0, nullptr, nullptr);
  BOOST_TEST(content_of(path) == npy(header("'<i4'", "False", "()"), bytes({1})));
  const bool flags[] = {true, false};
  write_npy(path.c_str(), 'b', 1, flags, 1, shape, strides + 1);
  BOOST_TEST(content_of(path) == npy(header("'|b1'", "False", "(2,)"), "\1\0"s));
  const std::size_t none[] = {3, 0};
  write_npy(path.c_str(), 'f', 8, nullptr, 2, none, strides);
  BOOST_TEST(content_of(path) == npy(header("'<f8'", "False", "(3, 0)"), ""));
  BOOST_TEST(here.files() == 1u);
}

BOOST_AUTO_TEST_CASE(of_any_strides_are_written) {
  const folder here;
  const std::string path = here / "t.npy";
  const std::int16_t values[] = {1, 2, 3, 4, 5, 6};
  const std::size_t shape[] = {2, 3};
  const auto written = [&](const std::int16_t* data, std::ptrdiff_t rows, std::ptrdiff_t columns) {
    const std::ptrdiff_t strides[] = {rows, columns};
    write_npy(path.c_str(), 'i', 2, data, 2, shape, strides);
    return elements<std::int16_t>(path);
  };
  BOOST_TEST(written(values, 1, 2) == (std::vector<std::int16_t>{1, 3, 5, 2, 4, 6}));
  BOOST_TEST(written(values + 5, -3, -1) == (std::vector<std::int16_t>{6, 5, 4, 3, 2, 1}));
  BOOST_TEST(written(values, 0, 1) == (std::vector<std::int16_t>{1, 2, 3, 1, 2, 3}));
  // More than one buffer.
  std::vector<std::int16_t> many(200'000);
  for (std::size_t i = 0; i < many.size(); ++i) many[i] = static_cast<std::int16_t>(i % 30'011);
  const std::size_t half[] = {many.size() / 2};
  const std::ptrdiff_t two[] = {2};
  write_npy(path.c_str(), 'i', 2, many.data(), 1, half, two);
  const auto read = elements<std::int16_t>(path);
  for (std::size_t i = 0; i < half[0]; ++i) BOOST_REQUIRE(read[i] == many[2 * i]);
}

BOOST_AUTO_TEST_CASE(are_replaced_in_one_step_or_not_at_all) {
  const folder here;
  const std::string path = here.file("t.npy", "old");
  BOOST_REQUIRE(::chmod(path.c_str(), 0640) == 0);
  const std::uint8_t value = 7;
  // There is no room: the device says so when it is written to.
  BOOST_CHECK_THROW(write_npy("/dev/full", 'u', 1, &value, 0, nullptr, nullptr), std::system_error);
  // The folder is not there.
  BOOST_CHECK_EXCEPTION(write_npy((here / "no/t.npy").c_str(), 'u', 1, &value, 0, nullptr, nullptr), std::system_error,
                        [](const std::system_error& error) {
                          return error.code() == std::errc::no_such_file_or_directory &&
                                 std::string_view(error.what()).contains("no/t.npy");
                        });
  BOOST_TEST(content_of(path) == "old");
  std::filesystem::create_symlink(path, here.path / "link.npy");
  write_npy((here / "link.npy").c_str(), 'u', 1, &value, 0, nullptr, nullptr);
  BOOST_TEST(std::filesystem::is_symlink(here.path / "link.npy"));
  BOOST_TEST(content_of(path) == npy(header("'|u1'", "False", "()"), "\7"));
  struct ::stat about;
  BOOST_REQUIRE(::stat(path.c_str(), &about) == 0);
  BOOST_TEST((about.st_mode & 07777) == 0640u);
  BOOST_TEST(here.files() == 2u);
}

// A symbolic link to a file that is not there yet: the file is made, and the link stays one.
BOOST_AUTO_TEST_CASE(a_link_to_nothing_leads_to_what_is_written) {
  const folder here;
  const std::uint8_t value = 7;
  std::filesystem::create_directory(here.path / "into");
  std::filesystem::create_symlink("second.npy", here.path / "first.npy");
  std::filesystem::create_symlink("into/new.npy", here.path / "second.npy");
  write_npy((here / "first.npy").c_str(), 'u', 1, &value, 0, nullptr, nullptr);
  BOOST_TEST(std::filesystem::is_symlink(here.path / "first.npy"));
  BOOST_TEST(std::filesystem::is_symlink(here.path / "second.npy"));
  BOOST_TEST(content_of(here / "into/new.npy") == npy(header("'|u1'", "False", "()"), "\7"));
  std::filesystem::create_symlink(here.path / "whole.npy", here.path / "absolute.npy");
  write_npy((here / "absolute.npy").c_str(), 'u', 1, &value, 0, nullptr, nullptr);
  BOOST_TEST(std::filesystem::is_symlink(here.path / "absolute.npy"));
  BOOST_TEST(content_of(here / "whole.npy") == npy(header("'|u1'", "False", "()"), "\7"));
  // One that leads to itself leads nowhere.
  std::filesystem::create_symlink("round.npy", here.path / "round.npy");
  BOOST_CHECK_EXCEPTION(
      write_npy((here / "round.npy").c_str(), 'u', 1, &value, 0, nullptr, nullptr), std::system_error,
      [](const std::system_error& error) { return error.code() == std::errc::too_many_symbolic_link_levels; });
  BOOST_TEST(std::filesystem::is_symlink(here.path / "round.npy"));
}

BOOST_AUTO_TEST_CASE(bools_are_zero_or_one) {
  const folder here;
  const npy_reader reader(here.file("b.npy", npy(header("'|b1'", "False", "(3,)"), "\0\1\2"s)).c_str());
  std::uint8_t values[3];
  reader.read(values);
  BOOST_TEST(values[0] == 0);
  BOOST_TEST(values[1] == 1);
  BOOST_TEST(values[2] == 1);
}

BOOST_AUTO_TEST_CASE(of_other_elements_or_dimensions_are_refused) {
  const folder here;
  const std::string path = here.file("t.npy", npy(header("'<f4'", "False", "(2,)"), bytes({1.0f, 2.0f})));
  const npy_reader reader(path.c_str());
  reader.require('f', 4, 1, "float32");
  refuses([&] { reader.require('f', 8, 1, "float64"); }, "its elements are float32, not float64");
  refuses([&] { reader.require('i', 4, 1, "int32"); }, "its elements are float32, not int32");
  refuses([&] { reader.require('f', 4, 2, "float32"); }, "it has 1 dimensions, not 2");
}

BOOST_AUTO_TEST_CASE(keep_tensors) {
  const folder here;
  const std::string path = here / "t.npy";
  buffers::test_resource memory;
  const buffers::tensor t{{1.5f, 2.5f, 3.5f}, {4.5f, 5.5f, 6.5f}};
  buffers::save_npy(path, t);
  buffers::save_npy(here.path / "path.npy", t);
  buffers::save_npy((here / "literal.npy").c_str(), t);
  BOOST_TEST(content_of(here / "path.npy") == content_of(path));
  BOOST_TEST(content_of(here / "literal.npy") == content_of(path));
  {
    const auto read = buffers::load_npy<float, 2>(path, &memory);
    BOOST_TEST((read.get_allocator().resource() == &memory));
    BOOST_TEST(buffers::all(read == t));
    BOOST_TEST(memory.live_blocks() == 1u);
  }
  buffers::save_npy(path, t - 1.0f);
  BOOST_TEST(buffers::all(buffers::load_npy<float, 2>(path) == t - 1.0f));
  buffers::save_npy(path, buffers::sum(t, buffers::axes<0>));
  BOOST_TEST(buffers::all(buffers::load_npy<float, 1>(path) == buffers::tensor{6.0f, 8.0f, 10.0f}));
  const auto owns = t + buffers::ones<float>({2, 3});
  buffers::save_npy(path, owns);
  BOOST_TEST(buffers::all(buffers::load_npy<float, 2>(path) == t + 1.0f));
  const buffers::tensor<std::int64_t, 0> scalar = buffers::full<std::int64_t>({}, 7);
  buffers::save_npy(path, scalar);
  BOOST_TEST((buffers::load_npy<std::int64_t, 0>(path).at() == 7));
  buffers::save_npy(path, buffers::zeros<bool>({0, 5}));
  BOOST_TEST((buffers::load_npy<bool, 2>(path, &memory).shape() == std::array<std::size_t, 2>{0, 5}));
}

BOOST_AUTO_TEST_CASE(keep_views) {
  using buffers::all;
  using buffers::range;
  const folder here;
  const std::string path = here / "t.npy";
  const buffers::tensor t{{1, 2, 3, 4}, {5, 6, 7, 8}, {9, 10, 11, 12}};
  const auto round_trip = [&](const auto& view) {
    buffers::save_npy(path, view);
    const auto read = buffers::load_npy<int, std::remove_cvref_t<decltype(view)>::rank>(path);
    BOOST_TEST(buffers::all(read == view));
  };
  round_trip(t[all, range{all, all, -1}]);
  round_trip(t[range{2, all, -2}, range{1, 3}]);
  round_trip(t[1, all]);
  round_trip(t[all, 2]);
  round_trip(buffers::transpose(t));
  round_trip(buffers::expand(t, {2, 3, 4}));
}

BOOST_AUTO_TEST_CASE(are_refused_before_anything_is_allocated) {
  const folder here;
  buffers::test_resource memory;
  const auto load = [&](const std::string& shape) {
    return buffers::load_npy<double, 2>(here.file("t.npy", npy(header("'<f8'", "False", shape), std::string(64, 'x'))),
                                        &memory);
  };
  BOOST_TEST((load("(2, 4)").shape() == std::array<std::size_t, 2>{2, 4}));
  const auto allocations = memory.allocations();
  refuses([&] { (void)load("(2, 5)"); }, "ends after 64");
  refuses([&] { (void)load("(1000000000, 1000000000)"); }, "ends after 64");
  refuses([&] { (void)load("(8,)"); }, "1 dimensions, not 2");
  refuses([&] { (void)buffers::load_npy<float, 2>(here / "t.npy", &memory); }, "float64, not float32");
  BOOST_TEST(memory.allocations() == allocations);
  BOOST_CHECK_THROW((void)(buffers::load_npy<float, 1>(here / "none.npy", &memory)), std::system_error);
}

BOOST_AUTO_TEST_CASE(the_longest_file_names) {
  const folder here;
  const std::string path = here / (std::string(251, 'n') + ".npy");
  buffers::save_npy(path, buffers::tensor{{1, 2}, {3, 4}});
  BOOST_TEST(elements<int>(path) == (std::vector{1, 2, 3, 4}));
  BOOST_TEST(here.files() == 1u);
}

BOOST_AUTO_TEST_SUITE_END()
