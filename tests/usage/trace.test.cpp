// recording_resource and trace_reader: what goes in comes out, and what is damaged is noticed.
#include <fcntl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <boost/test/unit_test.hpp>
#include <chrono>
#include <csignal>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <map>
#include <memory_resource>
#include <new>
#include <optional>
#include <random>
#include <set>
#include <span>
#include <sstream>
#include <string>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

#include "support/child.hpp"
#include "support/require.hpp"
#include "support/temporary.hpp"
#include "usage/trace_file.h"
import buffers;
import buffers.testing;

using buffers::recording_resource;
using buffers::trace_error;
using buffers::trace_event;
using buffers::trace_operation;
using buffers::trace_reader;

namespace {

std::vector<std::byte> contents(const char* path) {
  std::ifstream file(path, std::ios::binary);
  const std::string text{std::istreambuf_iterator<char>(file), {}};
  const auto* const first = reinterpret_cast<const std::byte*>(text.data());
  // cppcheck-suppress returnDanglingLifetime ; a copy of that range
  return {first, first + text.size()};
}

struct read_result {
  std::vector<trace_event> events;
  std::optional<std::uint64_t> damaged;  // the number of the record
  std::string why;
  bool finished = false;
};

template <class From>
read_result read_all(From&& from) {
  read_result all;
  try {
    trace_reader reader(from);
    all.finished = reader.is_finished();
    for (trace_event e; reader.next(e);) all.events.push_back(e);
  } catch (const trace_error& error) {
    all.damaged = error.record();
    all.why = error.what();
  }
  return all;
}

bool same(const trace_event& a, const trace_event& b) {
  return a.number == b.number && a.nanoseconds == b.nanoseconds && a.thread == b.thread && a.operation == b.operation &&
         a.address == b.address && a.bytes == b.bytes && a.alignment == b.alignment;
}

/// Whether these are the first of those.
bool begin_with(const std::vector<trace_event>& those, const std::vector<trace_event>& these) {
  if (these.size() > those.size()) return false;
  for (std::size_t i = 0; i < these.size(); ++i)
    if (!same(those[i], these[i])) return false;
  return true;
}

/// No block begins where one is live, each that goes was there, and all numbers are there.
void require_order(const std::vector<trace_event>& events) {
  std::map<std::uintptr_t, std::size_t> live;
  for (std::size_t i = 0; i < events.size(); ++i) {
    const trace_event& e = events[i];
    BOOST_REQUIRE(e.number == i);
    if (e.operation == trace_operation::allocate) {
      const auto after = live.lower_bound(e.address);
      BOOST_REQUIRE((after == live.end() || e.address + e.bytes <= after->first));
      BOOST_REQUIRE((after == live.begin() || std::prev(after)->first + std::prev(after)->second <= e.address));
      live.emplace(e.address, e.bytes);
    } else if (e.operation == trace_operation::deallocate) {
      BOOST_REQUIRE(live.erase(e.address) == 1u);
    }
  }
  BOOST_TEST(live.empty());
}

/// Zeros before and after: of those bytes, the tests below take some.
bool is_in_zeros(const std::vector<std::byte>& bytes, std::size_t at) {
  const auto first = bytes.begin() + static_cast<std::ptrdiff_t>(at - std::min<std::size_t>(at, 16));
  const auto last = bytes.begin() + static_cast<std::ptrdiff_t>(std::min(bytes.size(), at + 16));
  return std::all_of(first, last, [](std::byte b) { return b == std::byte{0}; });
}

/// A small trace of everything: two threads, failures, alignments, sizes from 1 B to 1 MiB.
void record_a_bit(const char* path) {
  buffers::test_resource upstream;
  recording_resource rec{path, &upstream};
  void* const first = rec.allocate(1, 1);
  void* const second = rec.allocate(1 << 20, 4096);
  std::thread([&] {
    void* const third = rec.allocate(100);
    rec.deallocate(second, 1 << 20, 4096);
    rec.deallocate(third, 100);
  }).join();
  upstream.set_allocation_limit(0);
  BOOST_CHECK_THROW((void)rec.allocate(77, 32), std::bad_alloc);
  rec.deallocate(first, 1, 1);
}

}  // namespace

BOOST_AUTO_TEST_SUITE(traces)

BOOST_AUTO_TEST_CASE(each_event_comes_back) {
  const temporary_file file;
  buffers::bump_resource up{4096};
  std::uintptr_t a, b;
  {
    recording_resource rec{file, &up};
    void* const first = rec.allocate(100, 64);
    void* const second = rec.allocate(7, 1);
    a = reinterpret_cast<std::uintptr_t>(first);
    b = reinterpret_cast<std::uintptr_t>(second);
    BOOST_CHECK_THROW((void)rec.allocate(5000, 32), buffers::exhausted);
    rec.deallocate(second, 7, 1);
    BOOST_CHECK_THROW((void)rec.allocate(8, 3), std::invalid_argument);  // not upstream's to answer
    rec.deallocate(rec.allocate(0), 0);
    rec.deallocate(nullptr, 8);
    rec.deallocate(first, 100, 64);
    BOOST_TEST(up.used() == 0u);
    BOOST_TEST(rec.upstream_resource() == &up);
  }
  const read_result read = read_all(file.c_str());
  BOOST_TEST(!read.damaged.has_value());
  BOOST_TEST(read.finished);
  struct line {
    trace_operation operation;
    std::uintptr_t address;
    std::size_t bytes, alignment;
  };
  const line expected[] = {{trace_operation::allocate, a, 100, 64},
                           {trace_operation::allocate, b, 7, 1},
                           {trace_operation::failed, 0, 5000, 32},
                           {trace_operation::deallocate, b, 7, 1},
                           {trace_operation::deallocate, a, 100, 64}};
  BOOST_REQUIRE(read.events.size() == std::size(expected));
  std::uint64_t time = 0;
  for (std::size_t i = 0; i < std::size(expected); ++i) {
    const trace_event& e = read.events[i];
    BOOST_TEST(e.number == i);
    BOOST_TEST(e.thread == 1u);
    BOOST_TEST((e.operation == expected[i].operation));
    BOOST_TEST(e.address == expected[i].address);
    BOOST_TEST(e.bytes == expected[i].bytes);
    BOOST_TEST(e.alignment == expected[i].alignment);
    BOOST_TEST(e.nanoseconds >= time);
    time = e.nanoseconds;
  }
}

BOOST_AUTO_TEST_CASE(a_path_may_be_of_any_type) {
  const temporary_file file;
  {
    recording_resource rec{std::filesystem::path(file.c_str())};
  }
  {
    recording_resource rec{std::string(file.c_str())};
  }
  trace_reader reader(std::filesystem::path(file.c_str()));
  BOOST_TEST(reader.size() == 0u);
  BOOST_TEST(reader.process() == static_cast<std::uint64_t>(getpid()));
  BOOST_TEST(std::string(reader.command().begin(), reader.command().end()).contains("tests"));
  BOOST_TEST(reader.started() > 1'600'000'000'000'000'000);
}

BOOST_AUTO_TEST_CASE(time_is_in_nanoseconds) {
  const temporary_file file;
  {
    recording_resource rec{file};
    rec.deallocate(rec.allocate(8), 8);
    std::this_thread::sleep_for(std::chrono::milliseconds(100));
    rec.deallocate(rec.allocate(8), 8);
  }
  const read_result read = read_all(file.c_str());
  BOOST_REQUIRE(read.events.size() == 4u);
  const std::uint64_t passed = read.events[2].nanoseconds - read.events[1].nanoseconds;
  BOOST_TEST(passed >= 99'000'000u);
  BOOST_TEST(passed < 5'000'000'000u);
}

BOOST_AUTO_TEST_CASE(values_of_every_size) {
  struct anything final : std::pmr::memory_resource {  // hands out addresses, not memory
    std::uintptr_t address = 0;
    void* do_allocate(std::size_t, std::size_t) override { return reinterpret_cast<void*>(address); }
    void do_deallocate(void*, std::size_t, std::size_t) override {}
    bool do_is_equal(const memory_resource& other) const noexcept override { return this == &other; }
  } up;
  const temporary_file file;
  std::mt19937_64 random{1};
  std::vector<std::pair<std::uintptr_t, std::size_t>> given;
  {
    recording_resource rec{file, &up};
    for (int i = 0; i < 20'000; ++i) {
      const std::size_t alignment = std::size_t{1} << i % 31, pace = std::max(alignment, 2uz);
      up.address = std::max((random() >> random() % 64) & ~(pace - 1), pace);
      const std::size_t bytes = (random() >> (1 + random() % 63)) | 1;
      if (bytes > PTRDIFF_MAX - 1) continue;
      (void)rec.allocate(bytes, alignment);
      given.emplace_back(up.address, bytes);
    }
  }
  const read_result read = read_all(file.c_str());
  BOOST_TEST(!read.damaged.has_value(), read.why);
  BOOST_REQUIRE(read.events.size() == given.size());
  for (std::size_t i = 0; i < given.size(); ++i) {
    BOOST_REQUIRE(read.events[i].address == given[i].first);
    BOOST_REQUIRE(read.events[i].bytes == given[i].second);
  }
}

BOOST_AUTO_TEST_CASE(an_alignment_beyond_what_a_trace_holds) {
  const temporary_file file;
  constexpr int exponents[] = {30, 31, 32, 35, 62};
  {
    recording_resource rec{file, std::pmr::null_memory_resource()};
    for (const int exponent : exponents)
      BOOST_CHECK_THROW((void)rec.allocate(8, std::size_t{1} << exponent), std::bad_alloc);
  }
  const read_result read = read_all(file.c_str());
  BOOST_TEST(!read.damaged.has_value(), read.why);
  BOOST_REQUIRE(read.events.size() == std::size(exponents));
  for (const trace_event& e : read.events) {
    BOOST_TEST((e.operation == trace_operation::failed));
    BOOST_TEST(e.alignment == std::size_t{1} << 30);
  }
}

BOOST_AUTO_TEST_CASE(flush_completes_the_file_so_far) {
  const temporary_file file;
  recording_resource rec{file};
  void* const block = rec.allocate(10);
  rec.flush();
  read_result read = read_all(file.c_str());
  BOOST_TEST(!read.damaged.has_value());
  BOOST_TEST(!read.finished);
  BOOST_TEST(read.events.size() == 1u);
  rec.deallocate(block, 10);
  rec.flush();
  rec.flush();
  read = read_all(file.c_str());
  BOOST_TEST(!read.damaged.has_value());
  BOOST_TEST(read.events.size() == 2u);
}

BOOST_AUTO_TEST_CASE(flush_while_others_record) {
  const temporary_file file;
  recording_resource rec{file};
  std::atomic<int> running{3};
  std::vector<std::thread> threads;
  for (int t = 0; t < 3; ++t)
    threads.emplace_back([&] {
      for (int round = 0; round < 100; ++round) {
        for (int i = 0; i < 100; ++i) rec.deallocate(rec.allocate(16), 16);
        std::this_thread::yield();
      }
      --running;
    });
  for (bool is_last = false; !is_last;) {
    is_last = running == 0;
    rec.flush();
    std::uint64_t promised = 0, got = 0;
    try {
      trace_reader reader(file.c_str());
      promised = reader.size();
      for (trace_event e; reader.next(e);) ++got;
    } catch (const trace_error&) {  // what was written after flush has gaps
    }
    BOOST_TEST(got >= promised);
    if (is_last) BOOST_TEST(got == 60'000u);
  }
  for (std::thread& t : threads) t.join();
}

BOOST_AUTO_TEST_CASE(many_threads_that_hand_on_their_blocks) {
  const temporary_file file;
  constexpr int threads = 6, rounds = 3000;
  buffers::concurrent_pool_resource pool;
  {
    recording_resource rec{file, &pool};
    std::atomic<void*> exchange[16] = {};
    std::vector<std::thread> running;
    for (int t = 0; t < threads; ++t)
      running.emplace_back([&, t] {
        std::mt19937 random(static_cast<unsigned>(t));
        for (int i = 0; i < rounds; ++i) {
          void* const other = exchange[random() % 16].exchange(rec.allocate(48));
          if (other != nullptr) rec.deallocate(other, 48);
        }
      });
    for (std::thread& t : running) t.join();
    for (std::atomic<void*>& slot : exchange)
      if (void* const last = slot) rec.deallocate(last, 48);
  }
  const read_result read = read_all(file.c_str());
  BOOST_TEST(!read.damaged.has_value(), read.why);
  BOOST_TEST(read.events.size() == 2u * threads * rounds);
  require_order(read.events);
  std::set<std::uint32_t> numbers;
  std::map<std::uint32_t, std::uint64_t> times;
  for (const trace_event& e : read.events) {
    numbers.insert(e.thread);
    BOOST_REQUIRE(e.nanoseconds >= times[e.thread]);
    times[e.thread] = e.nanoseconds;
  }
  BOOST_TEST(numbers.size() == threads + 1u);
}

BOOST_AUTO_TEST_CASE(threads_that_follow_one_another) {
  const temporary_file file;
  {
    recording_resource rec{file};
    for (int t = 0; t < 50; ++t) std::thread([&] { rec.deallocate(rec.allocate(16), 16); }).join();
  }
  const read_result read = read_all(file.c_str());
  BOOST_TEST(!read.damaged.has_value());
  BOOST_REQUIRE(read.events.size() == 100u);
  for (std::size_t i = 0; i < 100; ++i) BOOST_TEST(read.events[i].thread == i / 2 + 1);
  BOOST_TEST(std::filesystem::file_size(file.c_str()) < 16u << 10);  // they share a chunk
}

BOOST_AUTO_TEST_CASE(a_container_is_recorded) {
  const temporary_file file;
  std::size_t live = 0;
  {
    recording_resource rec{file};
    std::pmr::map<int, std::pmr::string> numbers{&rec};
    for (int i = 0; i < 1000; ++i) numbers.emplace(i, std::string(static_cast<std::size_t>(i), 'x'));
  }
  const read_result read = read_all(file.c_str());
  require_order(read.events);
  for (const trace_event& e : read.events) live += e.operation == trace_operation::allocate ? 1 : 0;
  BOOST_TEST(live > 1900u);
}

// --- damage ----------------------------------------------------------------------------------------------------------

// Its header is whole: only what it says is not what this version reads.
BOOST_AUTO_TEST_CASE(a_trace_of_another_version) {
  namespace format = buffers::trace_file;
  const temporary_file file;
  record_a_bit(file.c_str());
  const std::vector<std::byte> whole = contents(file.c_str());
  const auto changed = [&](auto change) {
    std::vector<std::byte> bytes = whole;
    format::origin origin;
    std::memcpy(&origin, bytes.data(), sizeof origin);
    change(origin);
    origin.check = format::check_of(origin);
    std::memcpy(bytes.data(), &origin, sizeof origin);
    return read_all(std::span(bytes));
  };
  BOOST_TEST(!changed([](format::origin&) {}).damaged.has_value());
  const std::string why = "buffers: record 0: this trace is of another version";
  for (const std::uint32_t version : {0u, 2u, UINT32_MAX})
    BOOST_TEST(changed([&](format::origin& origin) { origin.version = version; }).why == why);
  for (const std::uint32_t bytes : {0u, 4096u, UINT32_MAX})
    BOOST_TEST(changed([&](format::origin& origin) { origin.chunk = bytes; }).why == why);
}

BOOST_AUTO_TEST_CASE(a_file_cut_at_every_byte) {
  const temporary_file file;
  record_a_bit(file.c_str());
  const std::vector<std::byte> whole = contents(file.c_str());
  const read_result all = read_all(std::span(whole));
  BOOST_REQUIRE(!all.damaged.has_value());
  BOOST_REQUIRE(all.events.size() == 7u);
  std::size_t longest = 0;
  for (std::size_t length = 0; length < whole.size(); length += is_in_zeros(whole, length) ? 13 : 1) {
    const read_result cut = read_all(std::span(whole).first(length));
    if (!cut.damaged) {  // zeros at the end
      BOOST_REQUIRE(cut.events.size() == 7u);
      continue;
    }
    BOOST_REQUIRE(*cut.damaged == cut.events.size());
    BOOST_REQUIRE(cut.why.starts_with("buffers: record " + std::to_string(cut.events.size()) + ": "));
    BOOST_REQUIRE(begin_with(all.events, cut.events));
    longest = std::max(longest, cut.events.size());
  }
  BOOST_TEST(longest == 4u);  // the second thread's last
}

BOOST_AUTO_TEST_CASE(every_bit_flipped) {
  const temporary_file file;
  record_a_bit(file.c_str());
  std::vector<std::byte> bytes = contents(file.c_str());
  const read_result all = read_all(std::span(bytes));
  for (std::size_t at = 0; at < bytes.size(); at += is_in_zeros(bytes, at) ? 13 : 1) {
    for (int bit = 0; bit < 8; ++bit) {
      const std::byte flip{static_cast<unsigned char>(1 << bit)};
      bytes[at] ^= flip;
      const read_result read = read_all(std::span(bytes));
      BOOST_TEST_INFO("byte " << at << " bit " << bit);
      BOOST_REQUIRE(read.damaged.has_value());
      BOOST_REQUIRE(*read.damaged == read.events.size());
      BOOST_REQUIRE(begin_with(all.events, read.events));
      bytes[at] ^= flip;
    }
  }
}

BOOST_AUTO_TEST_CASE(random_bytes) {
  const temporary_file file;
  record_a_bit(file.c_str());
  const std::vector<std::byte> whole = contents(file.c_str());
  std::mt19937 random{3};
  for (int round = 0; round < 3000; ++round) {
    std::vector<std::byte> bytes = whole;
    for (unsigned n = random() % 20; n != 0; --n) {
      const std::size_t at = 4096 + random() % (bytes.size() - 4096);
      bytes[at] = std::byte(random());
    }
    const read_result read = read_all(std::span(bytes));
    BOOST_REQUIRE(read.events.size() <= 7u);
  }
}

// What a file says it has, without having it, takes no time.
BOOST_AUTO_TEST_CASE(a_file_that_is_mostly_a_hole) {
  const temporary_file file;
  record_a_bit(file.c_str());
  const read_result all = read_all(file.c_str());
  if (truncate(file.c_str(), off_t{1} << 42) != 0) return;  // not on every file system
  const auto begin = std::chrono::steady_clock::now();
  const read_result read = read_all(file.c_str());
  BOOST_TEST((std::chrono::steady_clock::now() - begin < std::chrono::seconds(5)));
  BOOST_TEST(!read.damaged.has_value());
  BOOST_TEST(read.events.size() == all.events.size());
  BOOST_TEST(begin_with(all.events, read.events));
  // ... and what is behind the hole is found.
  const int end = open(file.c_str(), O_WRONLY | O_CLOEXEC);
  BOOST_REQUIRE(end >= 0);
  const off_t at = 4096 + (off_t{1} << 41);
  BOOST_REQUIRE(pwrite(end, "?", 1, at) == 1);
  close(end);
  BOOST_TEST(read_all(file.c_str()).why.contains("damaged, at byte " + std::to_string(at)));
}

BOOST_AUTO_TEST_CASE(what_is_no_trace) {
  const temporary_file file;
  BOOST_CHECK_THROW(trace_reader(file.c_str()), std::system_error);  // there is none
  BOOST_CHECK_THROW(trace_reader("/tmp"), std::system_error);
  BOOST_CHECK_THROW(trace_reader("/dev/null"), std::system_error);
  BOOST_REQUIRE(mkfifo(file.c_str(), 0600) == 0);
  const auto is_said = [](const std::system_error& error) {
    return std::string(error.what()).contains("not a regular file");
  };
  BOOST_CHECK_EXCEPTION(trace_reader(file.c_str()), std::system_error, is_said);  // and is not waited for
  BOOST_CHECK_EXCEPTION(recording_resource{file.c_str()}, std::system_error, is_said);
  unlink(file.c_str());
  for (const char* text : {"", "b", "buftrace", "#include <print>\n"}) {
    std::ofstream(file.c_str()) << text;
    BOOST_CHECK_THROW(trace_reader(file.c_str()), trace_error);
  }
}

BOOST_AUTO_TEST_CASE(errors_name_the_file) {
  const temporary_file file;
  const auto said_of = [](auto f) -> std::string {
    try {
      f();
    } catch (const std::exception& error) {
      return error.what();
    }
    return "nothing";
  };
  const std::string name = std::string("buffers: ") + file.c_str() + ": ";
  const auto read = [&] { trace_reader(file.c_str()); };
  std::ostringstream os;
  const auto draw = [&] { buffers::draw_trace(os, file.c_str()); };
  const auto replay = [&] { buffers::replay(file.c_str(), *std::pmr::new_delete_resource()); };
  BOOST_TEST(said_of(read).starts_with(name));  // there is none
  BOOST_TEST(said_of(draw).starts_with(name));
  BOOST_TEST(said_of(replay).starts_with(name));
  std::ofstream(file.c_str()) << "#include <print>\n";
  for (const std::string& said : {said_of(read), said_of(draw), said_of(replay)})
    BOOST_TEST(said == name + "record 0: this is no trace");
  BOOST_TEST(said_of([] { trace_reader("/tmp"); }).starts_with("buffers: /tmp: "));
  unlink(file.c_str());
  record_a_bit(file.c_str());
  BOOST_REQUIRE(truncate(file.c_str(), 4096 + 64) == 0);
  const read_result cut = read_all(file.c_str());
  BOOST_TEST(cut.why.starts_with(name + "record " + std::to_string(cut.events.size()) + ": "), cut.why);
}

// --- errors ----------------------------------------------------------------------------------------------------------

BOOST_AUTO_TEST_CASE(a_path_that_cannot_be_written) {
  for (const char* path : {"/no/such/folder/trace", "/tmp", "/dev/null", ""})
    BOOST_CHECK_THROW(recording_resource rec{path}, std::system_error);
}

// Of two that write one file, each would overwrite what the other has written.
BOOST_AUTO_TEST_CASE(a_path_that_is_being_recorded) {
  const temporary_file file, link;
  std::filesystem::create_symlink(file.c_str(), link.c_str());
  const auto is_said_of = [](const temporary_file& path) {
    return [&path](const std::system_error& error) {
      return error.code() == std::errc::device_or_resource_busy &&
             std::string(error.what()).starts_with(std::string("buffers: ") + path.c_str() + ": it is being recorded");
    };
  };
  {
    recording_resource rec{file};
    void* const block = rec.allocate(100);
    BOOST_CHECK_EXCEPTION(recording_resource{file}, std::system_error, is_said_of(file));
    BOOST_CHECK_EXCEPTION(recording_resource{link}, std::system_error, is_said_of(link));
    rec.deallocate(block, 100);
    // A forked child records nothing of its parent's, and may record itself.
    const temporary_file other;
    const child result = run_in_child([&] {
      recording_resource own{other};
      own.deallocate(own.allocate(1), 1);
    });
    BOOST_TEST(result.survived(), result);
    BOOST_TEST(read_all(other.c_str()).events.size() == 2u);
  }
  const read_result read = read_all(file.c_str());
  BOOST_TEST(!read.damaged.has_value(), read.why);
  BOOST_TEST(read.events.size() == 2u);
  {
    recording_resource rec{file};  // the one before is gone
  }
  BOOST_TEST(read_all(file.c_str()).events.empty());
}

BOOST_AUTO_TEST_CASE(a_full_disk_is_reported) {
  const temporary_file file;
  const child result = run_in_child([&] {
    std::signal(SIGXFSZ, SIG_DFL);                       // would end the program
    const rlimit small{64 * 1024 + 13, 64 * 1024 + 13};  // the first chunk does not go in, but a part
    setrlimit(RLIMIT_FSIZE, &small);
    {
      recording_resource rec{file};
      for (int i = 0; i < 10'000; ++i) rec.deallocate(rec.allocate(16), 16);  // goes on
      std::fprintf(stderr, "error %d;", rec.error().value());
      try {
        rec.flush();
      } catch (const std::system_error& error) {
        std::fprintf(stderr, "flush %d;", error.code().value());
      }
    }
    {
      recording_resource rec{file};
      for (int i = 0; i < 10'000; ++i) rec.deallocate(rec.allocate(16), 16);
    }  // nobody has asked
  });
  BOOST_TEST(result.survived(), result);
  const std::string too_large = std::to_string(EFBIG);
  BOOST_TEST(result.errors == "error " + too_large + ";flush " + too_large + ";buffers: the trace is incomplete: " +
                                  std::generic_category().message(EFBIG) + "\n");
  const read_result read = read_all(file.c_str());
  BOOST_TEST(read.damaged.has_value());
  BOOST_TEST(read.why.contains(std::generic_category().message(EFBIG)), read.why);
  BOOST_TEST(read.why.contains("are missing"), read.why);
}

BOOST_AUTO_TEST_CASE(a_killed_program_leaves_what_was_written) {
  const temporary_file file;
  const child result = run_in_child([&] {
    recording_resource rec{file};
    for (int i = 0; i < 10'000; ++i) rec.deallocate(rec.allocate(16), 16);
    kill(getpid(), SIGKILL);
  });
  BOOST_TEST(!result.survived());
  const read_result read = read_all(file.c_str());
  BOOST_TEST(!read.finished);
  BOOST_TEST(read.events.size() > 5000u);
}

// What a thread recorded that has been waiting since is not missing from the middle.
BOOST_AUTO_TEST_CASE(a_killed_program_leaves_what_all_threads_have_written) {
  if (!children_may_start_threads) return;
  const temporary_file file;
  const child result = run_in_child([&] {
    recording_resource rec{file};
    rec.deallocate(rec.allocate(8), 8);
    std::thread([&] {
      for (int i = 0; i < 10'000; ++i) rec.deallocate(rec.allocate(16), 16);
      kill(getpid(), SIGKILL);
    }).join();
  });
  BOOST_TEST(!result.survived());
  const read_result read = read_all(file.c_str());
  BOOST_TEST(!read.finished);
  BOOST_TEST(read.events.size() > 5000u);
}

BOOST_AUTO_TEST_CASE(a_trace_is_read_while_it_is_recorded) {
  const temporary_file file, other;
  recording_resource elsewhere{other}, rec{file};
  void* const block = rec.allocate(100);
  elsewhere.deallocate(elsewhere.allocate(1), 1);
  BOOST_TEST(read_all(file.c_str()).events.size() == 1u);
  rec.deallocate(block, 100);
  const read_result read = read_all(file.c_str());
  BOOST_TEST(read.events.size() == 2u);
  BOOST_TEST(!read.finished);
  BOOST_TEST(!read.damaged.has_value(), read.why);
  buffers::pool_resource pool;
  BOOST_TEST(buffers::replay(file.c_str(), pool).events == 2u);
}

BOOST_AUTO_TEST_CASE(a_trace_is_read_while_several_threads_record) {
  const temporary_file file;
  recording_resource rec{file};
  std::atomic<int> running = 3;
  std::vector<std::thread> threads;
  for (int t = 0; t < 3; ++t)
    threads.emplace_back([&] {
      for (int i = 0; i < 100'000; ++i) rec.deallocate(rec.allocate(32), 32);
      --running;
    });
  std::size_t before = 0, fewer = 0;
  std::string why;
  while (running != 0) {
    const read_result read = read_all(file.c_str());
    why += read.why;
    fewer += read.events.size() < before;
    before = read.events.size();
  }
  for (std::thread& thread : threads) thread.join();
  BOOST_TEST(why == "");
  BOOST_TEST(fewer == 0u);
}

BOOST_AUTO_TEST_CASE(no_path) {
  const char* const unset = nullptr;
  BOOST_CHECK_THROW(recording_resource{unset}, std::system_error);
  BOOST_CHECK_THROW(trace_reader{unset}, std::system_error);
}

BOOST_AUTO_TEST_CASE(a_forked_child_is_not_recorded) {
  const temporary_file file;
  {
    recording_resource rec{file};
    void* const before = rec.allocate(8);
    const child result = run_in_child([&] {
      for (int i = 0; i < 20'000; ++i) rec.deallocate(rec.allocate(32), 32);
      rec.flush();
      rec.deallocate(before, 8);
    });
    BOOST_TEST(result.survived(), result);
    rec.deallocate(before, 8);
  }
  const read_result read = read_all(file.c_str());
  BOOST_TEST(!read.damaged.has_value());
  BOOST_TEST(read.events.size() == 2u);
}

BOOST_AUTO_TEST_CASE(the_program_may_go_elsewhere_and_close_its_files) {
  const temporary_file file;
  const child result = run_in_child([&] {
    require(chdir("/tmp") == 0);
    recording_resource rec{std::filesystem::path(file.c_str()).filename()};
    require(chdir("/") == 0);
    for (int i = 3; i < 100; ++i) close(i);
    for (int i = 0; i < 10'000; ++i) rec.deallocate(rec.allocate(16), 16);
  });
  BOOST_TEST(result.survived(), result);
  const read_result read = read_all(file.c_str());
  BOOST_TEST(!read.damaged.has_value(), read.why);
  BOOST_TEST(read.events.size() == 20'000u);
}

BOOST_AUTO_TEST_SUITE_END()
