// word_index: where does each word stand? An index of all words of many text files, the kind of structure that
// allocates a lot of small things and gives them back all at once: made on a slab_resource, and for comparison on new
// and delete.
//
//     word_index [--rounds N] [PATH...]
//
// Each PATH is a file, or a folder whose files are indexed, those in its subfolders included; without one, it is the
// headers of the C++ standard library on this machine. Links to folders inside a folder are not followed. A word is a
// run of letters, digits and underscores; every byte from 128 on counts as a letter.
//
// Exit code: 0; 1 when one of the PATHs cannot be read (the others are indexed); 2 for options that do not exist.
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <filesystem>
#include <format>
#include <functional>
#include <memory>
#include <memory_resource>
#include <optional>
#include <print>
#include <ranges>
#include <span>
#include <string>
#include <string_view>
#include <system_error>
#include <tuple>
#include <unordered_map>
#include <utility>
#include <vector>

#include "measure.hpp"
#include "output.hpp"

import buffers;

namespace {

namespace fs = std::filesystem;

// --- the index -------------------------------------------------------------------------------------------------------

struct location {
  std::uint32_t file;
  std::uint32_t line;
  bool operator==(const location&) const = default;
};

// Looking up a std::string_view makes no string of it.
struct word_hash {
  using is_transparent = void;
  std::size_t operator()(std::string_view word) const noexcept { return std::hash<std::string_view>()(word); }
};

using index_type = std::pmr::unordered_map<std::pmr::string, std::pmr::vector<location>, word_hash, std::equal_to<>>;

constexpr std::array word_bytes = [] {
  std::array<bool, 256> of_words{};
  for (unsigned c = 0; c < 256; ++c)
    of_words[c] = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' || c >= 128;
  return of_words;
}();

bool is_word_byte(char c) { return word_bytes[static_cast<unsigned char>(c)]; }

void add_words(index_type& index, std::string_view text, std::uint32_t file) {
  location here{file, 1};
  for (auto at = text.begin(); at != text.end();) {
    if (!is_word_byte(*at)) {
      here.line += *at++ == '\n';
      continue;
    }
    const auto end = std::find_if_not(at, text.end(), is_word_byte);
    const std::string_view word{at, end};
    auto entry = index.find(word);
    if (entry == index.end()) entry = index.emplace(std::piecewise_construct, std::tuple(word), std::tuple()).first;
    entry->second.push_back(here);
    at = end;
  }
}

/// The index of the texts, all of it in memory from `memory`: nodes, strings and vectors.
index_type index_words(std::span<const std::string> texts, std::pmr::memory_resource* memory) {
  index_type index{memory};
  for (std::uint32_t file = 0; file < texts.size(); ++file) add_words(index, texts[file], file);
  return index;
}

// --- talking to the user ---------------------------------------------------------------------------------------------

const bool on_terminal = isatty(STDERR_FILENO);

/// A bar on stderr while there is something to wait for; nothing where stderr is no terminal.
class progress {
 public:
  progress(std::string_view what, std::size_t steps) : what_(what), steps_(steps) {}
  progress(const progress&) = delete;
  progress& operator=(const progress&) = delete;
  ~progress() { clear_line(); }

  void step() {
    const std::size_t filled = ++done_ * width / steps_;
    if (!on_terminal || filled == filled_) return;
    filled_ = filled;
    std::print(stderr, "\r{:<10}[{:#<{}}{:{}}]", what_, "", filled, "", width - filled);
  }
  static void clear_line() {
    if (on_terminal) std::print(stderr, "\r\x1b[K");
  }

 private:
  static constexpr std::size_t width = 50;
  std::string_view what_;
  std::size_t steps_, done_ = 0, filled_ = 0;
};

template <class... Args>
void complain(std::format_string<Args...> format, Args&&... args) {
  progress::clear_line();
  std::println(stderr, "word_index: {}", std::format(format, std::forward<Args>(args)...));
}

// --- files -----------------------------------------------------------------------------------------------------------

enum class content { text, binary, unreadable };

/// Appends the file's text to `texts`. Says why on stderr when it cannot be read.
content read_file(const fs::path& path, std::vector<std::string>& texts) {
  constexpr std::size_t looked_at = 8 * 1024;  // a NUL byte in here makes a file binary
  const std::unique_ptr<std::FILE, int (*)(std::FILE*)> file{std::fopen(path.c_str(), "rb"), &std::fclose};
  std::string text;
  std::array<char, 64 * 1024> part;
  while (file != nullptr && !std::feof(file.get()) && !std::ferror(file.get())) {
    const std::size_t wanted = text.empty() ? looked_at : part.size();
    text.append(part.data(), std::fread(part.data(), 1, wanted, file.get()));
    if (text.size() <= looked_at && text.contains('\0')) return content::binary;
  }
  if (file == nullptr || std::ferror(file.get())) {
    complain("{}: {}", path.string(), std::generic_category().message(errno));
    return content::unreadable;
  }
  texts.push_back(std::move(text));
  return content::text;
}

/// The files in a folder and its subfolders, in alphabetical order. What cannot be looked into is named on stderr;
/// whether that is so for the folder itself is the result.
bool find_files(const fs::path& folder, std::vector<fs::path>& found) {
  std::error_code error;
  std::vector<fs::directory_entry> entries;
  for (fs::directory_iterator at{folder, error}, end; !error && at != end; at.increment(error)) entries.push_back(*at);
  if (error) complain("{}: {}", folder.string(), error.message());
  std::ranges::sort(entries);
  for (const fs::directory_entry& entry : entries) {
    std::error_code unknown;
    const fs::file_status status = entry.status(unknown);
    if (!fs::status_known(status) || status.type() == fs::file_type::not_found)
      complain("{}: {}", entry.path().string(), unknown ? unknown.message() : "a link to nothing");
    else if (fs::is_regular_file(status))
      found.push_back(entry.path());
    else if (fs::is_directory(status) && !entry.is_symlink(unknown))
      find_files(entry.path(), found);
  }
  return !error;
}

struct collection {
  std::vector<std::string> texts;
  bool complete = true;  // each path that was asked for could be read
};

collection read_all(std::span<const fs::path> paths) {
  collection all;
  std::vector<fs::path> files;
  for (const fs::path& path : paths) {
    std::error_code error;
    const fs::file_status status = fs::status(path, error);
    if (fs::is_directory(status)) {
      all.complete &= find_files(path, files);
    } else if (fs::is_regular_file(status)) {
      const content kind = read_file(path, all.texts);
      if (kind == content::binary) complain("{}: a binary file", path.string());
      all.complete &= kind == content::text;
    } else {
      complain("{}: {}", path.string(), error ? error.message() : "neither a file nor a folder");
      all.complete = false;
    }
  }
  progress bar{"reading", files.size()};
  std::size_t binary = 0;
  for (const fs::path& file : files) {
    binary += read_file(file, all.texts) == content::binary;
    bar.step();
  }
  if (binary > 0) complain("{} binary {} left out", binary, binary == 1 ? "file" : "files");
  return all;
}

/// libc++'s and libstdc++'s headers, as far as they are here.
std::vector<fs::path> standard_headers() {
  std::vector<fs::path> folders;
  std::error_code error;
  for (const fs::directory_entry& entry : fs::directory_iterator("/usr/lib", error))
    if (entry.path().filename().string().starts_with("llvm-")) folders.push_back(entry.path() / "include/c++/v1");
  folders.push_back("/usr/include/c++");
  std::erase_if(folders, [](const fs::path& folder) {
    std::error_code none;
    return !fs::is_directory(folder, none);
  });
  return folders;
}

// --- the report ------------------------------------------------------------------------------------------------------

void print_words(const index_type& index, std::size_t files) {
  std::vector<std::pair<std::string_view, std::size_t>> counts;
  std::size_t words = 0;
  for (const auto& [word, places] : index) {
    counts.emplace_back(word, places.size());
    words += places.size();
  }
  std::println("files           {:>10}", files);
  std::println("words           {:>10}", words);
  std::println("distinct words  {:>10}", counts.size());

  std::ranges::sort(counts, [](const auto& a, const auto& b) {
    return a.second != b.second ? a.second > b.second : a.first < b.first;
  });
  if (!counts.empty()) std::println("\nmost frequent");
  for (const auto& [word, count] : counts | std::views::take(10)) std::println("  {:<14}{:>10}", word, count);
}

bool index_and_report(std::span<const std::string> texts, int rounds) {
  buffers::slab_resource slab;
  bool agree;
  {
    buffers::scope first_round{slab};
    const index_type on_slab = index_words(texts, &slab);
    const index_type on_heap = index_words(texts, std::pmr::new_delete_resource());
    agree = on_slab == on_heap;
    print_words(on_slab, texts.size());
    std::println("\nslab, bytes     {:>10} used, {} peak, {} capacity", slab.used(), slab.peak(), slab.capacity());
  }
  if (!agree) complain("the two indexes differ");

  progress bar{"indexing", 2 * static_cast<std::size_t>(rounds)};
  const auto [slab_time, heap_time] = median_times(
      rounds,
      [&] {
        buffers::scope round{slab};
        index_words(texts, &slab);
        bar.step();
      },
      [&] {
        index_words(texts, std::pmr::new_delete_resource());
        bar.step();
      });
  progress::clear_line();
  std::println("slab            {:>10.1f} ms to build and destroy the index", 1e3 * slab_time);
  std::println("new and delete  {:>10.1f} ms, {:.2f} times as long ({})", 1e3 * heap_time, heap_time / slab_time,
               rounds == 1 ? "one round" : std::format("medians of {} rounds", rounds));
  return agree;
}

struct command {
  int rounds = 5;
  std::vector<fs::path> paths;
  bool help = false;
};

constexpr std::string_view usage =
    "usage: word_index [--rounds N] [PATH...]\n"
    "Indexes the words of all text files below each PATH (default: the C++ standard library's headers), on a\n"
    "slab_resource and on new and delete, and compares the times of N rounds (default: 5).\n";

/// Empty for a command line that makes no sense; says so on stderr.
std::optional<command> parse(std::span<char* const> args) {
  command wanted;
  bool options = true;
  for (std::size_t i = 0; i < args.size(); ++i) {
    const std::string_view arg = args[i];
    if (!options || !arg.starts_with('-')) {
      wanted.paths.emplace_back(arg);
    } else if (arg == "--") {
      options = false;
    } else if (arg == "--help") {
      wanted.help = true;
    } else if (arg == "--rounds") {
      const std::string_view number = i + 1 < args.size() ? args[++i] : "";
      const auto [end, error] = std::from_chars(number.begin(), number.end(), wanted.rounds);
      if (error != std::errc() || end != number.end() || wanted.rounds < 1 || wanted.rounds > 1000) {
        complain("--rounds takes a number from 1 to 1000");
        return std::nullopt;
      }
    } else {
      complain("there is no option {}; word_index --help says which there are", arg);
      return std::nullopt;
    }
  }
  return wanted;
}

}  // namespace

int main(int argc, char** argv) {
  try {
    std::optional<command> wanted = parse(std::span(argv, static_cast<std::size_t>(argc)).subspan(1));
    if (!wanted) return 2;
    if (wanted->help) {
      std::print("{}", usage);
      return end_of_output(EXIT_SUCCESS);
    }
    if (wanted->paths.empty()) wanted->paths = standard_headers();
    if (wanted->paths.empty()) {
      complain("there are no headers of a C++ standard library here; name a PATH");
      return EXIT_FAILURE;
    }
    const collection all = read_all(wanted->paths);
    const bool agree = index_and_report(all.texts, wanted->rounds);
    return end_of_output(agree && all.complete ? EXIT_SUCCESS : EXIT_FAILURE);
  } catch (const std::exception& error) {
    complain("{}", error.what());
    return EXIT_FAILURE;
  }
}
