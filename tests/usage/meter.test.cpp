#include <array>
#include <atomic>
#include <boost/test/unit_test.hpp>
#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <ios>
#include <map>
#include <memory_resource>
#include <new>
#include <ostream>
#include <random>
#include <sstream>
#include <stdexcept>
#include <streambuf>
#include <string>
#include <thread>
#include <vector>

#include "support/child.hpp"
#include "support/require.hpp"
import buffers;
import buffers.testing;

using buffers::meter_resource;
using buffers::meter_scope;
using buffers::meter_stats;
using buffers::meter_tally;
using buffers::test_resource;

namespace buffers {

// For Boost.Test's messages.
std::ostream& operator<<(std::ostream& os, const meter_tally& t) { return os << t.bytes << " bytes " << t.calls; }

}  // namespace buffers

namespace {

/// What a report says in the row of this name, one word for each column.
std::vector<std::string> row_of(const std::string& report, const std::string& name) {
  std::istringstream lines(report);
  for (std::string text; std::getline(lines, text);) {
    std::istringstream words(text);
    std::vector<std::string> row;
    for (std::string word; words >> word;) row.push_back(word);
    if (!row.empty() && row.front() == name) return row;
  }
  return {};
}

std::string report_of(const meter_resource& meter) {
  std::ostringstream os;
  meter.report(os);
  return os.str();
}

}  // namespace

BOOST_AUTO_TEST_SUITE(meter)

BOOST_AUTO_TEST_CASE(counts_bytes_and_calls) {
  test_resource upstream;
  meter_resource m{&upstream};
  BOOST_TEST(m.upstream_resource() == &upstream);
  BOOST_TEST((m.stats() == meter_stats{.entries = 1}));
  void* const a = m.allocate(100);
  void* const b = m.allocate(28, 4);
  BOOST_TEST(m.live() == 128u);
  m.deallocate(a, 100);
  void* const c = m.allocate(50, 64);
  BOOST_TEST(m.live() == 78u);
  BOOST_TEST(m.peak() == 128u);
  BOOST_TEST(m.total() == 178u);
  BOOST_TEST(m.failed() == 0u);
  const meter_stats s = m.stats();
  BOOST_TEST(s.live == (meter_tally{78, 2}));
  BOOST_TEST(s.peak == (meter_tally{128, 2}));
  BOOST_TEST(s.total == (meter_tally{178, 3}));
  m.deallocate(b, 28, 4);
  m.deallocate(c, 50, 64);
  BOOST_TEST(m.live() == 0u);
  BOOST_TEST(m.stats().live == (meter_tally{0, 0}));
  BOOST_TEST(upstream.is_clean());
}

BOOST_AUTO_TEST_CASE(a_request_for_nothing_is_not_counted) {
  test_resource upstream;
  meter_resource m{&upstream};
  void* const nothing = m.allocate(0, 256);
  BOOST_TEST(reinterpret_cast<std::uintptr_t>(nothing) % 256 == 0u);
  m.deallocate(nothing, 0, 256);
  m.deallocate(nullptr, 10);
  BOOST_TEST((m.stats() == meter_stats{.entries = 1}));
  BOOST_TEST(upstream.allocations() == 0u);
}

BOOST_AUTO_TEST_CASE(peak_begins_anew) {
  meter_resource m;
  m.deallocate(m.allocate(1000), 1000);
  void* const a = m.allocate(10);
  m.reset_peak();
  BOOST_TEST(m.peak() == 10u);
  BOOST_TEST(m.stats().peak == (meter_tally{10, 1}));
  m.deallocate(a, 10);
  BOOST_TEST(m.peak() == 10u);
}

BOOST_AUTO_TEST_CASE(is_exact_when_upstream_fails) {
  test_resource upstream, notes;
  meter_resource m{&upstream, &notes};
  m.push("part");
  void* const a = m.allocate(100);
  upstream.set_allocation_limit(0);
  BOOST_CHECK_THROW((void)m.allocate(30), std::bad_alloc);
  BOOST_CHECK_THROW((void)m.allocate(SIZE_MAX), std::bad_alloc);
  BOOST_CHECK_THROW((void)m.allocate(30, 3), std::invalid_argument);
  for (const meter_stats& s : {m.stats(), m.stats("part")}) {
    BOOST_TEST(s.live == (meter_tally{100, 1}));
    BOOST_TEST(s.peak == (meter_tally{100, 1}));
    BOOST_TEST(s.total == (meter_tally{100, 1}));
    BOOST_TEST(s.failed == (meter_tally{PTRDIFF_MAX, 2}));  // and more there is not
  }
  BOOST_TEST(m.failed() == 2u);

  notes.set_allocation_limit(0);
  BOOST_CHECK_THROW(m.push("another"), std::bad_alloc);
  BOOST_CHECK_THROW((void)m.stats("part/another"), std::invalid_argument);
  BOOST_TEST(m.pop().failed.calls == 2);
  m.deallocate(a, 100);
}

BOOST_AUTO_TEST_CASE(padding_of_a_buffer_is_what_its_use_grew_by) {
  buffers::bump_resource buffer{4096};
  (void)buffer.allocate(100);  // before the meter
  meter_resource m{&buffer};
  BOOST_TEST(m.padding() == 0u);
  void* const a = m.allocate(10, 1);  // at 112: 12 bytes of padding before it
  BOOST_TEST(m.padding() == 12u);
  void* const b = m.allocate(1, 64);  // at 128
  BOOST_TEST(m.padding() == 18u);
  m.deallocate(b, 1, 64);
  BOOST_TEST(m.padding() == 18u);  // the end is where b began
  m.deallocate(a, 10, 1);
  BOOST_TEST(m.live() == 0u);
  BOOST_TEST(buffer.used() <= 112u);
}

BOOST_AUTO_TEST_CASE(padding_of_others_is_what_is_missing_to_a_multiple_of_the_alignment) {
  meter_resource m;
  void* const a = m.allocate(10, 16);
  void* const b = m.allocate(64, 64);
  void* const c = m.allocate(65, 64);
  BOOST_TEST(m.padding() == 6u + 0u + 63u);
  m.deallocate(c, 65, 64);
  BOOST_TEST(m.padding() == 6u);
  m.deallocate(a, 10, 16);
  m.deallocate(b, 64, 64);
  BOOST_TEST(m.padding() == 0u);
}

// Its used() is a sum over the buffers of all threads, which may be using them.
BOOST_AUTO_TEST_CASE(padding_of_a_thread_resource_is_that_of_others) {
  buffers::thread_resource<> scratch;
  meter_resource m{&scratch};
  void* const a = m.allocate(10, 16);
  BOOST_TEST(m.padding() == 6u);
  m.deallocate(a, 10, 16);
}

BOOST_AUTO_TEST_CASE(histogram_of_sizes) {
  meter_resource m;
  for (std::size_t bytes : {1uz, 2uz, 3uz, 4uz, 7uz, 8uz, 1023uz, 1024uz}) m.deallocate(m.allocate(bytes), bytes);
  std::array<std::size_t, 64> expected = {};
  expected[0] = 1;
  expected[1] = expected[2] = 2;
  expected[3] = expected[9] = expected[10] = 1;
  BOOST_TEST(m.histogram() == expected, boost::test_tools::per_element());
}

BOOST_AUTO_TEST_CASE(names_have_counts_of_their_own) {
  meter_resource m;
  void* const before = m.allocate(1000);
  m.push("load");
  void* const a = m.allocate(100);
  m.push("parse");
  void* const b = m.allocate(10);
  m.deallocate(b, 10);
  void* const c = m.allocate(5);
  const meter_stats parse = m.pop();
  BOOST_TEST(parse.live == (meter_tally{5, 1}));
  BOOST_TEST(parse.peak == (meter_tally{10, 1}));
  BOOST_TEST(parse.total == (meter_tally{15, 2}));
  BOOST_TEST(m.stats("load").live == (meter_tally{105, 2}));  // while it is open
  m.deallocate(before, 1000);
  const meter_stats load = m.pop();
  BOOST_TEST(load.live == (meter_tally{-895, 1}));
  BOOST_TEST(load.peak == (meter_tally{110, 2}));
  BOOST_TEST(load.total == (meter_tally{115, 3}));
  BOOST_TEST((m.stats("load") == load));
  BOOST_TEST((m.stats("load/parse") == parse));
  BOOST_TEST((m.stats("") == m.stats()));
  BOOST_CHECK_THROW((void)m.stats("parse"), std::invalid_argument);
  BOOST_CHECK_THROW((void)m.stats("load/pars"), std::invalid_argument);
  BOOST_CHECK_THROW((void)m.stats("loa"), std::invalid_argument);
  BOOST_CHECK_THROW((void)m.pop(), buffers::order_error);
  m.deallocate(a, 100);
  m.deallocate(c, 5);
}

BOOST_AUTO_TEST_CASE(a_name_goes_on_when_it_is_pushed_again) {
  test_resource notes;
  meter_resource m{std::pmr::new_delete_resource(), &notes};
  for (std::size_t bytes : {30uz, 50uz, 20uz}) {
    m.push("step");
    m.deallocate(m.allocate(bytes), bytes);
    m.push("step");  // within it: another
    m.pop();
    const meter_stats once = m.pop();
    BOOST_TEST(once.peak.bytes == static_cast<std::ptrdiff_t>(bytes));
    BOOST_TEST(once.entries == 1u);
  }
  const meter_stats s = m.stats("step");
  BOOST_TEST(s.peak == (meter_tally{50, 1}));
  BOOST_TEST(s.total == (meter_tally{100, 3}));
  BOOST_TEST(s.entries == 3u);
  BOOST_TEST(m.stats("step/step").entries == 3u);
  BOOST_TEST(notes.allocations() == 2u);
}

BOOST_AUTO_TEST_CASE(a_guard_pops_what_was_left_open_within_it) {
  meter_resource m;
  try {
    meter_scope outer{m, "outer"};
    m.push("inner");
    throw std::runtime_error("leaves inner open");
  } catch (const std::runtime_error&) {
  }
  BOOST_CHECK_THROW((void)m.pop(), buffers::order_error);
  {
    meter_scope popped{m, "popped"};
    m.pop();
  }
  BOOST_TEST(m.stats("outer/inner").entries == 1u);
  BOOST_TEST(m.stats("popped").entries == 1u);
}

BOOST_AUTO_TEST_CASE(allocates_only_for_names_and_only_from_its_notes) {
  test_resource upstream, notes, by_default;
  {
    buffers::default_resource_guard replaced(&by_default);
    meter_resource m{&upstream, &notes};
    void* const a = m.allocate(100);
    BOOST_TEST(notes.allocations() == 0u);
    const std::string name(100, 'n');
    for (int round = 0; round < 2; ++round) {
      m.push(name);
      m.push("");
      m.pop();
      m.pop();
    }
    BOOST_TEST(m.stats(name).entries == 2u);
    (void)report_of(m);
    m.deallocate(a, 100);
    BOOST_TEST(upstream.allocations() == 1u);
    BOOST_TEST(notes.allocations() == 2u);
    BOOST_TEST(by_default.allocations() == 0u);
  }
  BOOST_TEST(notes.is_clean());
}

BOOST_AUTO_TEST_CASE(reports_a_table) {
  meter_resource m;
  void* const a = m.allocate(1000, 16);
  m.push("load");
  m.push("a name that is longer than its column, and has spaces");
  void* const b = m.allocate(24, 8);
  m.pop();
  m.pop();
  m.deallocate(a, 1000, 16);
  const std::string report = report_of(m);
  BOOST_TEST_INFO(report);
  BOOST_TEST(row_of(report, "all") == (std::vector<std::string>{"all", "24", "1024", "1024", "0", "1", "2", "0", "1"}),
             boost::test_tools::per_element());
  BOOST_TEST(row_of(report, "load") == (std::vector<std::string>{"load", "24", "24", "24", "0", "1", "1", "0", "1"}),
             boost::test_tools::per_element());
  BOOST_TEST(row_of(report, "512..1023").at(1) == "1");
  BOOST_TEST(row_of(report, "16..31").at(1) == "1");
  BOOST_TEST(row_of(report, "32..63").at(1) == "0");
  BOOST_TEST(row_of(report, "8..15").empty());
  // All rows of the counts are equally long.
  std::istringstream lines(report);
  std::string head, line;
  std::getline(lines, head);
  for (int i = 0; i < 3; ++i) {
    std::getline(lines, line);
    BOOST_TEST(line.size() == head.size());
  }
  m.deallocate(b, 24, 8);
}

BOOST_AUTO_TEST_CASE(a_name_cannot_break_the_table) {
  meter_resource m;
  for (const char* name : {"two\nlines", "\x1b[31mred", "\xc3\xa4\xff\xc3", "\xc2\x9b"}) {
    const meter_scope part{m, name};
  }
  std::string long_name;
  for (int i = 0; i < 30; ++i) long_name += "ä";
  {
    const meter_scope part{m, long_name};
  }
  const std::string report = report_of(m);
  std::istringstream lines(report);
  std::string line;
  std::getline(lines, line);
  const std::size_t width = line.size();
  BOOST_TEST_INFO(report);
  for (const char* shown : {"two?lines ", "?[31mred ", "ä?? ", "?? "}) {
    BOOST_REQUIRE(std::getline(lines, line));
    if (shown[0] == 't') BOOST_REQUIRE(std::getline(lines, line));  // after the whole
    BOOST_TEST(line.starts_with("  " + std::string(shown)), line);
  }
  BOOST_REQUIRE(std::getline(lines, line));
  BOOST_TEST(line.starts_with("  " + long_name.substr(0, 22 * 2) + "  "), line);
  BOOST_TEST(line.size() == width + 22);
}

BOOST_AUTO_TEST_CASE(a_stream_that_throws) {
  const meter_resource m;
  struct full : std::streambuf {
  } nowhere;
  std::ostream os(&nowhere);
  os.exceptions(std::ios::badbit);
  BOOST_CHECK_THROW(m.report(os), std::ios_base::failure);
}

BOOST_AUTO_TEST_CASE(names_with_slashes) {
  meter_resource m;
  const auto push = [&](std::initializer_list<const char*> names, int times) {
    for (int i = 0; i < times; ++i) {
      for (const char* const name : names) m.push(name);
      for (std::size_t n = names.size(); n != 0; --n) (void)m.pop();
    }
  };
  push({"a"}, 1);
  push({"a/b"}, 2);
  push({"a/b", "c"}, 3);
  push({"a", "x/y"}, 4);
  BOOST_TEST(m.stats("a").entries == 5u);
  BOOST_TEST(m.stats("a/b").entries == 5u);
  BOOST_TEST(m.stats("a/b/c").entries == 3u);
  BOOST_TEST(m.stats("a/x/y").entries == 4u);
  BOOST_CHECK_THROW((void)m.stats("a/x"), std::invalid_argument);
  BOOST_CHECK_THROW((void)m.stats("a/b/x"), std::invalid_argument);
}

BOOST_AUTO_TEST_CASE(any_numbers_fit_into_a_report) {
  struct upstream_of_no_memory final : std::pmr::memory_resource {
    void* do_allocate(std::size_t, std::size_t alignment) override { return reinterpret_cast<void*>(alignment); }
    void do_deallocate(void*, std::size_t, std::size_t) override {}
    bool do_is_equal(const memory_resource& other) const noexcept override { return this == &other; }
  } upstream;
  meter_resource m{&upstream};
  const std::string name(1000, 'x');
  for (int depth = 0; depth < 50; ++depth) m.push(name);
  void* const a = m.allocate(PTRDIFF_MAX);
  const std::string report = report_of(m);
  BOOST_TEST(row_of(report, "all").at(1) == std::to_string(PTRDIFF_MAX));
  std::istringstream lines(report);
  for (std::string text; std::getline(lines, text);) BOOST_TEST(text.size() < 240u);
  m.deallocate(a, PTRDIFF_MAX);
}

BOOST_AUTO_TEST_CASE(against_a_model_over_random_programs) {
  for (unsigned seed = 1; seed <= 200; ++seed) {
    std::mt19937 random(seed);
    const auto up_to = [&](std::size_t most) { return std::uniform_int_distribution<std::size_t>(0, most)(random); };
    test_resource upstream;
    meter_resource m{&upstream};
    struct block {
      void* at;
      std::size_t bytes;
    };
    std::vector<block> live;
    std::vector<meter_stats> open(1);
    for (int step = 0; step < 300; ++step) {
      const std::size_t choice = up_to(9);
      if (choice < 4) {
        const std::size_t bytes = 1 + up_to(300);
        const bool refuse = up_to(5) == 0;
        upstream.set_allocation_limit(refuse ? 0 : -1);
        try {
          live.push_back({m.allocate(bytes, 8), bytes});
          for (meter_stats& s : open) {
            s.live.bytes += static_cast<std::ptrdiff_t>(bytes);
            ++s.live.calls;
            s.peak.bytes = std::max(s.peak.bytes, s.live.bytes);
            s.peak.calls = std::max(s.peak.calls, s.live.calls);
            s.total.bytes += static_cast<std::ptrdiff_t>(bytes);
            ++s.total.calls;
          }
          BOOST_REQUIRE(!refuse);
        } catch (const std::bad_alloc&) {
          for (meter_stats& s : open) ++s.failed.calls, s.failed.bytes += static_cast<std::ptrdiff_t>(bytes);
        }
      } else if (choice < 7 && !live.empty()) {
        std::swap(live[up_to(live.size() - 1)], live.back());
        m.deallocate(live.back().at, live.back().bytes, 8);
        for (meter_stats& s : open) {
          s.live.bytes -= static_cast<std::ptrdiff_t>(live.back().bytes);
          --s.live.calls;
        }
        live.pop_back();
      } else if (choice == 7) {
        m.push(std::to_string(up_to(3)));
        open.emplace_back();
      } else if (choice == 8 && open.size() > 1) {
        const meter_stats got = m.pop(), expected = open.back();
        open.pop_back();
        BOOST_REQUIRE(got.live == expected.live && got.peak == expected.peak && got.total == expected.total &&
                      got.failed == expected.failed);
      }
      const meter_stats got = m.stats();
      BOOST_REQUIRE(got.live == open[0].live && got.peak == open[0].peak && got.total == open[0].total &&
                    got.failed == open[0].failed);
    }
    for (const block& b : live) m.deallocate(b.at, b.bytes, 8);
    BOOST_REQUIRE(upstream.is_clean());
  }
}

// Else another thread could get the block, and count it, before it is counted as gone.
BOOST_AUTO_TEST_CASE(a_block_is_counted_as_gone_before_upstream_has_it) {
  struct looking final : std::pmr::memory_resource {
    const meter_resource* meter = nullptr;
    std::size_t live_then = 1000;
    void* do_allocate(std::size_t bytes, std::size_t alignment) override {
      return std::pmr::new_delete_resource()->allocate(bytes, alignment);
    }
    void do_deallocate(void* block, std::size_t bytes, std::size_t alignment) override {
      live_then = meter->live();
      std::pmr::new_delete_resource()->deallocate(block, bytes, alignment);
    }
    bool do_is_equal(const memory_resource& other) const noexcept override { return this == &other; }
  } up;
  meter_resource m{&up};
  up.meter = &m;
  void* const kept = m.allocate(10);
  m.deallocate(m.allocate(100), 100);
  BOOST_TEST(up.live_then == 10u);
  m.deallocate(kept, 10);
}

BOOST_AUTO_TEST_CASE(is_read_while_other_threads_allocate) {
  meter_resource m;
  std::atomic<bool> done = false;
  std::thread reader([&] {
    while (!done) {
      const meter_stats s = m.stats();
      require(s.live.bytes >= 0 && s.live.bytes <= s.peak.bytes && s.peak.bytes <= s.total.bytes);
      require(s.live.bytes == 24 * s.live.calls);  // of one moment
      (void)report_of(m);
      (void)m.histogram();
    }
  });
  std::vector<std::thread> writers;
  for (int i = 0; i < 3; ++i)
    writers.emplace_back([&] {
      for (int round = 0; round < 3000; ++round) m.deallocate(m.allocate(24), 24);
    });
  for (int round = 0; round < 200; ++round) {
    meter_scope named{m, round % 2 == 0 ? "even" : "odd"};
    m.deallocate(m.allocate(24), 24);
  }
  for (std::thread& t : writers) t.join();
  done = true;
  reader.join();
  BOOST_TEST(m.live() == 0u);
  BOOST_TEST(m.stats().total == (meter_tally{24 * 9200, 9200}));
  BOOST_TEST(m.stats("even").entries == 100u);
}

BOOST_AUTO_TEST_CASE(a_null_upstream_ends_the_program) {
  const auto ends = [](auto* upstream) { return run_in_child([&] { const meter_resource m{upstream}; }).aborted(""); };
  BOOST_TEST(ends(static_cast<std::pmr::memory_resource*>(nullptr)));
  BOOST_TEST(ends(static_cast<buffers::slab_resource*>(nullptr)));
}

BOOST_AUTO_TEST_CASE(more_deallocated_than_allocated_ends_a_hardened_program) {
  if (!hardened) return;
  const child c = run_in_child([] {
    meter_resource m{std::pmr::new_delete_resource()};
    void* const a = m.allocate(10);
    void* const b = std::pmr::new_delete_resource()->allocate(20);
    m.deallocate(a, 10);
    m.deallocate(b, 20);
  });
  BOOST_TEST(c.aborted("more than this meter_resource has handed out"), c);
}

BOOST_AUTO_TEST_SUITE_END()
