// draw_trace: what a small trace looks like, in each form.
#include <unistd.h>

#include <atomic>
#include <boost/property_tree/json_parser.hpp>
#include <boost/property_tree/ptree.hpp>
#include <boost/property_tree/xml_parser.hpp>
#include <boost/test/unit_test.hpp>
#include <chrono>
#include <clocale>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <format>
#include <fstream>
#include <ios>
#include <memory_resource>
#include <optional>
#include <sstream>
#include <string>
#include <thread>
#include <vector>

#include "support/temporary.hpp"
#include "usage/trace_file.h"
import buffers;

using buffers::picture_colour;
using buffers::picture_format;
using buffers::picture_kind;
using buffers::picture_options;

namespace {

/// 1000 blocks of 1 KiB, at most all live, and one of 3 MiB on another thread.
void record_hill(const char* path) {
  buffers::slab_resource slab;
  buffers::recording_resource rec{path, &slab};
  std::vector<void*> blocks;
  for (int i = 0; i < 1000; ++i) blocks.push_back(rec.allocate(1024));
  std::thread([&] { rec.deallocate(rec.allocate(3 << 20), 3 << 20); }).join();
  for (void* block : blocks) rec.deallocate(block, 1024);
}

std::string draw(const char* path, const picture_options& options) {
  std::ostringstream os;
  BOOST_TEST(!buffers::draw_trace(os, path, options).has_value());
  return os.str();
}

boost::property_tree::ptree parsed_as_xml(const std::string& text) {
  boost::property_tree::ptree tree;
  std::istringstream is(text);
  read_xml(is, tree);
  return tree;
}

/// A locale with decimal commas, as long as this lives.
class german_locale {
 public:
  german_locale() {
    if (std::setlocale(LC_ALL, name) != nullptr) return;
    const std::string make = "localedef --no-archive -i de_DE -f UTF-8 " + folder_ + "/" + name + " >/dev/null 2>&1";
    std::filesystem::create_directory(folder_);
    if (std::system(make.c_str()) == 0)  // NOLINT(bugprone-command-processor): a command of our own
      setenv("LOCPATH", folder_.c_str(), 1);
    std::setlocale(LC_ALL, name);
  }
  german_locale(const german_locale&) = delete;
  german_locale& operator=(const german_locale&) = delete;
  ~german_locale() {
    std::setlocale(LC_ALL, "C");
    unsetenv("LOCPATH");
    std::filesystem::remove_all(folder_);
  }
  bool is_there() const { return std::localeconv()->decimal_point[0] == ','; }

 private:
  static constexpr const char* name = "de_DE.UTF-8";
  std::string folder_ = "/tmp/buffers-locale-" + std::to_string(getpid());
};

/// Says another command line in the header of a trace.
void set_command(const char* path, const std::string& command) {
  namespace format = buffers::trace_file;
  std::fstream file(path, std::ios::in | std::ios::out | std::ios::binary);
  format::origin origin;
  file.read(reinterpret_cast<char*>(&origin), sizeof origin);
  std::memset(origin.command, 0, sizeof origin.command);
  command.copy(origin.command, sizeof origin.command);
  origin.check = format::check_of(origin);
  file.seekp(0);
  file.write(reinterpret_cast<const char*>(&origin), sizeof origin);
}

}  // namespace

BOOST_AUTO_TEST_SUITE(pictures)

BOOST_AUTO_TEST_CASE(numbers_do_not_depend_on_the_locale) {
  const temporary_file file;
  record_hill(file.c_str());
  const buffers::replay_summary summary{.seconds = 0.000651, .peak_bytes = 2, .peak_held = 3};
  const auto all = [&] {
    std::ostringstream os;
    for (const picture_format format : {picture_format::text, picture_format::svg, picture_format::json})
      for (const picture_kind kind : {picture_kind::timeline, picture_kind::map})
        os << draw(file.c_str(), {.format = format, .kind = kind});
    os << summary;
    return os.str();
  };
  const std::string usual = all();
  BOOST_TEST(usual.contains(" 0.651 ms\n"));
  BOOST_TEST(usual.contains(" 1.50 for each"));
  const german_locale german;
  if (german.is_there())
    BOOST_TEST((all() == usual));
  else
    BOOST_TEST_MESSAGE("there is no locale with decimal commas");
}

BOOST_AUTO_TEST_CASE(titles_of_any_bytes) {
  const temporary_file file;
  record_hill(file.c_str());
  const std::string other = "\xef\xbf\xbd";  // U+FFFD
  const auto title_of = [&](const std::string& title) {
    const std::string text = draw(file.c_str(), {.format = picture_format::text, .title = title});
    const std::string shown = text.substr(0, text.find('\n'));
    const std::string map =
        draw(file.c_str(), {.format = picture_format::text, .kind = picture_kind::map, .title = title});
    BOOST_TEST(map.starts_with(shown + "\nWhere the blocks lie"), map);
    BOOST_TEST(text.starts_with(shown + "\n2 002 events"), text);
    BOOST_TEST(parsed_as_xml(draw(file.c_str(), {.title = title})).get<std::string>("svg.title") == shown);
    boost::property_tree::ptree tree;
    std::istringstream is(draw(file.c_str(), {.format = picture_format::json, .title = title}));
    read_json(is, tree);
    BOOST_TEST(tree.get_child("traceEvents").front().second.get<std::string>("args.name") == shown);
    return shown;
  };
  BOOST_TEST(title_of("grün €, 𝄞 \"\\<&>") == "grün €, 𝄞 \"\\<&>");
  BOOST_TEST(title_of("two\nlines") == "two" + other + "lines");
  BOOST_TEST(title_of("\x1b[2Jgone\x7f") == other + "[2Jgone" + other);
  BOOST_TEST(title_of("\xc2\x9b") == other + other);  // a control character in two bytes
  BOOST_TEST(title_of("a\xff\xc3") == "a" + other + other);
  for (const char* bytes :
       {"\xc0\x80", "\xe0\x80\xaf", "\xed\xa0\x80", "\xf4\x90\x80\x80", "\xf8\x88\x80\x80\x80", "\xef\xbf\xbf"})
    BOOST_TEST(!title_of(bytes).contains(bytes));

  std::string command = "prog";
  for (int i = 0; i < 100; ++i) command += "ä";
  set_command(file.c_str(), command);
  BOOST_TEST(title_of("") == command.substr(0, 4 + 73 * 2) + "...");
  set_command(file.c_str(), command.substr(0, 4 + 76 * 2));
  BOOST_TEST(title_of("") == command.substr(0, 4 + 76 * 2));
  using namespace std::string_literals;
  set_command(file.c_str(), "sh\0-c\0a\nb\xe4"s);
  BOOST_TEST(title_of("") == "sh -c a b" + other);
}

BOOST_AUTO_TEST_CASE(timeline_as_text) {
  const temporary_file file;
  record_hill(file.c_str());
  const std::string text = draw(file.c_str(), {.format = picture_format::text, .title = "a hill"});
  BOOST_TEST(text.starts_with("a hill\n2 002 events of 2 threads in "), text);
  BOOST_TEST(text.contains("; at most 4.0 MiB live, in 1 001 blocks\n"), text);
  BOOST_TEST(text.contains("   4.0 MiB │"), text);
  BOOST_TEST(text.contains("█"), text);
}

BOOST_AUTO_TEST_CASE(map_as_text) {
  const temporary_file file;
  record_hill(file.c_str());
  const std::string text = draw(file.c_str(), {.format = picture_format::text, .kind = picture_kind::map});
  BOOST_TEST(text.contains("4.0 MiB in 1 001 blocks; a cell is "), text);
  BOOST_TEST(text.contains("████████████████"), text);
}

// As when an arena is reset that nobody gives blocks back to: a longer one begins before others that lie in it.
BOOST_AUTO_TEST_CASE(map_of_blocks_that_overlap) {
  const temporary_file file;
  alignas(64) static std::byte memory[1 << 20];
  buffers::bump_resource frame{std::span{memory}};
  {
    buffers::recording_resource rec{file.c_str(), &frame};
    (void)rec.allocate(16);
    (void)rec.allocate(900'000);
    frame.reset();
    for (int i = 0; i < 10; ++i) (void)rec.allocate(2000);
  }
  const std::string text =
      draw(file.c_str(), {.format = picture_format::text, .kind = picture_kind::map, .title = "frame"});
  // The first 16 bytes are the first of the ten; then the long one, in whose memory the others lie.
  BOOST_TEST(text.contains("in 11 blocks"), text);
  BOOST_TEST(text.contains("█"), text);
  BOOST_TEST(parsed_as_xml(draw(file.c_str(), {.kind = picture_kind::map})).size() == 1u);
}

BOOST_AUTO_TEST_CASE(svg) {
  const temporary_file file;
  record_hill(file.c_str());
  for (const picture_kind kind : {picture_kind::timeline, picture_kind::map})
    for (const picture_colour colour : {picture_colour::size, picture_colour::thread}) {
      const std::string text = draw(file.c_str(), {.kind = kind, .colour = colour, .title = "<&>"});
      const auto tree = parsed_as_xml(text);
      BOOST_TEST(tree.get<std::string>("svg.title") == "<&>");
      BOOST_TEST(tree.get<std::string>("svg.<xmlattr>.viewBox").starts_with("0 0 "));
      BOOST_TEST(text.contains(colour == picture_colour::size ? "up to 1 KiB" : "thread 2"), text);
      BOOST_TEST(!text.contains(colour == picture_colour::size ? "up to 64 KiB" : "thread 3"), text);  // there are none
      BOOST_TEST(!text.contains("nan"));
    }
}

BOOST_AUTO_TEST_CASE(json) {
  const temporary_file file;
  record_hill(file.c_str());
  boost::property_tree::ptree tree;
  std::istringstream is(draw(file.c_str(), {.format = picture_format::json}));
  read_json(is, tree);
  std::uint64_t most = 0;
  std::size_t begins = 0, ends = 0;
  for (const auto& [_, event] : tree.get_child("traceEvents")) {
    const auto kind = event.get<std::string>("ph");
    begins += kind == "b" ? 1 : 0;
    ends += kind == "e" ? 1 : 0;
    if (kind != "C") continue;
    std::uint64_t sum = 0;
    for (const auto& [name, bytes] : event.get_child("args")) sum += bytes.get_value<std::uint64_t>();
    most = std::max(most, sum);
  }
  BOOST_TEST(most == (3u << 20) + 1000 * 1024u);
  BOOST_TEST(begins == 1001u);
  BOOST_TEST(ends == 1001u);
}

BOOST_AUTO_TEST_CASE(a_block_ends_in_json_when_it_is_freed) {
  const temporary_file file;
  buffers::slab_resource slab;
  {
    buffers::recording_resource rec{file, &slab};
    void* const first = rec.allocate(1000);
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
    rec.deallocate(first, 1000);
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
    (void)rec.allocate(8);  // and is never freed
  }
  std::vector<std::string> times;  // of the events, in microseconds
  buffers::trace_reader reader(file);
  for (buffers::trace_event e; reader.next(e);)
    times.push_back(std::format("{:.3f}", static_cast<double>(e.nanoseconds) / 1e3));
  BOOST_REQUIRE(times.size() == 3u);
  boost::property_tree::ptree tree;
  std::istringstream is(draw(file.c_str(), {.format = picture_format::json}));
  read_json(is, tree);
  std::vector<std::string> begins, ends;
  for (const auto& [_, event] : tree.get_child("traceEvents")) {
    const auto kind = event.get<std::string>("ph");
    if (kind == "b") begins.push_back(event.get<std::string>("ts"));
    if (kind == "e") ends.push_back(event.get<std::string>("ts"));
  }
  BOOST_TEST(begins == (std::vector{times[0], times[2]}), boost::test_tools::per_element());
  BOOST_TEST(ends == (std::vector{times[1], times[2]}), boost::test_tools::per_element());
}

BOOST_AUTO_TEST_CASE(traces_with_nothing_in_them) {
  const temporary_file file;
  {
    buffers::recording_resource rec{file};
  }
  for (const picture_format format : {picture_format::text, picture_format::svg, picture_format::json})
    for (const picture_kind kind : {picture_kind::timeline, picture_kind::map}) {
      const std::string text = draw(file.c_str(), {.format = format, .kind = kind});
      BOOST_TEST(!text.empty());
      BOOST_TEST(!text.contains("nan"), text);
      BOOST_TEST(!text.contains("inf"), text);
      BOOST_TEST(!text.contains("e-10"), text);  // marks of less than a nanosecond
    }
  const std::string axis = draw(file.c_str(), {.format = picture_format::text});
  BOOST_TEST(axis.contains("       1 B │\n"), axis);
  BOOST_TEST(axis.contains("       0 B └"), axis);
  BOOST_TEST(!axis.contains("0 B │"), axis);
}

BOOST_AUTO_TEST_CASE(a_damaged_trace_is_drawn_up_to_there) {
  const temporary_file file;
  record_hill(file.c_str());
  std::filesystem::resize_file(file.c_str(), 8000);
  std::ostringstream os;
  const auto damage = buffers::draw_trace(os, file);
  BOOST_REQUIRE(damage.has_value());
  BOOST_TEST(damage->record() > 100u);
  BOOST_TEST(os.str().ends_with("</svg>\n"));
}

BOOST_AUTO_TEST_SUITE_END()
