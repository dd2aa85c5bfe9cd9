// replay: what was recorded, done again on other resources, in order and on threads, with everything checked.
#include <sys/types.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <boost/test/unit_test.hpp>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <latch>
#include <map>
#include <memory_resource>
#include <mutex>
#include <new>
#include <random>
#include <sstream>
#include <stdexcept>
#include <string>
#include <system_error>
#include <thread>
#include <unordered_map>
#include <utility>
#include <vector>

#include "support/child.hpp"
#include "support/temporary.hpp"
#include "usage/live_blocks.h"
#include "usage/trace_writer.h"
import buffers;
import buffers.testing;

namespace {

[[maybe_unused]] std::atomic<std::size_t> refused_bytes = 0;  // so many there are not; 0: there are all

}  // namespace

#if !defined(__SANITIZE_THREAD__)  // which has its own
// Not inlined: compilers warn of a free() that they see, when they do not see the malloc().
[[gnu::noinline]] void* operator new(std::size_t bytes) {
  void* const block = bytes != 0 && bytes == refused_bytes ? nullptr : std::malloc(bytes);
  if (block == nullptr) throw std::bad_alloc();
  return block;
}
// AddressSanitizer's own does not call the one above.
[[gnu::noinline]] void* operator new(std::size_t bytes, const std::nothrow_t&) noexcept { return std::malloc(bytes); }
[[gnu::noinline]] void operator delete(void* block) noexcept { std::free(block); }
[[gnu::noinline]] void operator delete(void* block, std::size_t) noexcept { std::free(block); }
#endif

using buffers::recording_resource;
using buffers::replay;
using buffers::replay_contents;
using buffers::replay_error;
using buffers::replay_summary;
using buffers::replayer;

namespace {

constexpr buffers::replay_options verified{.contents = replay_contents::verified};
constexpr buffers::replay_options free_and_verified{.free_running = true, .contents = replay_contents::verified};

/// Blocks of many sizes and alignments come and go.
void record_churn(const char* path, int rounds = 5000) {
  recording_resource rec{path};
  std::mt19937 random{5};
  struct block {
    void* at = nullptr;
    std::size_t bytes = 0, alignment = 1;
  };
  std::vector<block> live(200);
  for (int i = 0; i < rounds; ++i) {
    block& b = live[random() % live.size()];
    if (b.at != nullptr) rec.deallocate(b.at, b.bytes, b.alignment);
    b.bytes = 1 + random() % (1u << random() % 14);
    b.alignment = std::size_t{1} << random() % 8;
    b.at = rec.allocate(b.bytes, b.alignment);
  }
  for (block& b : live)
    if (b.at != nullptr) rec.deallocate(b.at, b.bytes, b.alignment);
}

/// Threads free what others have allocated.
void record_threads(const char* path, int threads = 4, int rounds = 3000) {
  recording_resource rec{path};
  std::atomic<void*> exchange[64] = {};
  std::vector<std::thread> running;
  for (int t = 0; t < threads; ++t)
    running.emplace_back([&, t] {
      std::mt19937 random(static_cast<unsigned>(t));
      for (int i = 0; i < rounds; ++i) {
        void* const own = rec.allocate(24);
        if (void* const other = exchange[random() % 64].exchange(rec.allocate(100))) rec.deallocate(other, 100);
        rec.deallocate(own, 24);
      }
    });
  for (std::thread& t : running) t.join();
  for (std::atomic<void*>& slot : exchange)
    if (void* const last = slot) rec.deallocate(last, 100);
}

}  // namespace

BOOST_AUTO_TEST_SUITE(replays)

BOOST_AUTO_TEST_CASE(the_peak_is_one_moment) {
  const temporary_file file;
  {
    recording_resource rec{file};
    rec.deallocate(rec.allocate(1000), 1000);
    std::vector<void*> blocks;
    for (int i = 0; i < 10; ++i) blocks.push_back(rec.allocate(16));
    for (void* const block : blocks) rec.deallocate(block, 16);
    BOOST_CHECK_THROW((void)rec.allocate(SIZE_MAX), std::bad_alloc);
    BOOST_CHECK_THROW((void)rec.allocate(16, 3), std::invalid_argument);
    (void)rec.allocate(0);
  }
  buffers::test_resource again;
  const replay_summary summary = replay(file, again);
  BOOST_TEST(summary.peak_bytes == 1000u);
  BOOST_TEST(summary.peak_blocks == 1u);
  BOOST_TEST(summary.events == 23u);
  BOOST_TEST(summary.failed == 1u);  // the one that is too large for any object
}

BOOST_AUTO_TEST_CASE(the_summary_is_exact) {
  const temporary_file file;
  {
    buffers::test_resource up;
    recording_resource rec{file, &up};
    void* const a = rec.allocate(100);
    void* const b = rec.allocate(50, 64);
    rec.deallocate(a, 100);
    void* const c = rec.allocate(70);
    up.set_allocation_limit(0);
    BOOST_CHECK_THROW((void)rec.allocate(1000), std::bad_alloc);
    rec.deallocate(b, 50, 64);
    up.deallocate(c, 70);  // nobody has seen this one
  }
  buffers::test_resource again;
  const replay_summary summary = replay(file, again, verified);
  BOOST_TEST(summary.events == 6u);
  BOOST_TEST(summary.allocations == 3u);
  BOOST_TEST(summary.deallocations == 2u);
  BOOST_TEST(summary.failed == 1u);
  BOOST_TEST(summary.unknown == 0u);
  BOOST_TEST(summary.threads == 1u);
  BOOST_TEST(summary.peak_bytes == 150u);
  BOOST_TEST(summary.peak_blocks == 2u);
  BOOST_TEST(summary.left_bytes == 70u);
  BOOST_TEST(summary.left_blocks == 1u);
  BOOST_TEST(!summary.damage.has_value());
  BOOST_TEST(again.allocations() == 3u);
  BOOST_TEST(again.live_blocks() == 0u);
  std::ostringstream text;
  text << summary;
  BOOST_TEST(text.str().contains("150 bytes in 2 blocks"), text.str());
  BOOST_TEST(replayer(file).total_bytes() == 112u + (64u + 48u) + 80u);
}

BOOST_AUTO_TEST_CASE(total_bytes_are_enough_for_a_buffer) {
  const temporary_file file;
  const std::size_t alignments[] = {1, 8, 16, 64, 256, 4096};
  for (std::size_t bytes : {1uz, 24uz, 100uz}) {
    {
      recording_resource recording{file, std::pmr::new_delete_resource()};
      std::vector<void*> blocks;
      for (std::size_t i = 0; i < 300; ++i)
        blocks.push_back(recording.allocate(bytes, alignments[i % (bytes == 1 ? 1 : 6)]));
      for (std::size_t i = 0; i < 300; ++i)
        recording.deallocate(blocks[i], bytes, alignments[i % (bytes == 1 ? 1 : 6)]);
    }
    const replayer recorded(file);
    buffers::bump_resource buffer{recorded.total_bytes()};
    BOOST_TEST(recorded.run(buffer).allocations == 300u);
  }
}

// What realloc moves is in two places for a moment, but not at any event.
BOOST_AUTO_TEST_CASE(a_moved_block_is_live_once) {
  namespace format = buffers::trace_file;
  const temporary_file file;
  const auto at = [](std::uintptr_t address) { return reinterpret_cast<const void*>(address); };
  constexpr std::size_t mib = 1 << 20;
  {
    static format::stream stream;
    format::writer writer;
    BOOST_REQUIRE(writer.open(file.c_str()) == 0);
    writer.put(stream, format::allocate, at(1 << 28), 10 * mib, 16);
    writer.put(stream, format::move, at(1 << 28), 10 * mib, 16);
    writer.put(stream, format::allocate, at(1 << 29), 11 * mib, 16);
    writer.put(stream, format::deallocate, at(1 << 29), 11 * mib, 16);
    BOOST_REQUIRE(writer.close() == 0);
  }
  buffers::test_resource again;
  const replay_summary summary = replay(file, again, verified);
  BOOST_TEST(summary.allocations == 2u);
  BOOST_TEST(summary.deallocations == 2u);
  BOOST_TEST(summary.unknown == 0u);
  BOOST_TEST(summary.peak_bytes == 11 * mib);
  BOOST_TEST(summary.peak_blocks == 1u);
  BOOST_TEST(again.peak_bytes() == 21 * mib);  // a resource has to have both
  const auto drawn = [&](buffers::picture_kind kind) {
    std::ostringstream os;
    BOOST_TEST(!buffers::draw_trace(os, file, {.format = buffers::picture_format::text, .kind = kind}).has_value());
    return os.str();
  };
  const std::string timeline = drawn(buffers::picture_kind::timeline), map = drawn(buffers::picture_kind::map);
  BOOST_TEST(timeline.contains("; at most 11.0 MiB live, in 1 block\n"), timeline);
  BOOST_TEST(timeline.contains("  11.0 MiB │"), timeline);
  BOOST_TEST(map.contains(": 11.0 MiB in 1 block;"), map);
}

// As of a buffer that is reset: nobody says when its blocks go.
BOOST_AUTO_TEST_CASE(a_block_ends_when_another_begins_at_its_address) {
  const temporary_file file;
  {
    buffers::bump_resource frame;
    recording_resource rec{file, &frame};
    (void)rec.allocate(100);
    frame.reset();
    (void)rec.allocate(60);
  }
  buffers::test_resource again;
  const replay_summary summary = replay(file, again, verified);
  BOOST_TEST(summary.allocations == 2u);
  BOOST_TEST(summary.deallocations == 1u);
  BOOST_TEST(summary.unknown == 1u);
  BOOST_TEST(summary.peak_bytes == 100u);
  BOOST_TEST(summary.left_bytes == 60u);
}

#if !defined(__SANITIZE_THREAD__)
BOOST_AUTO_TEST_CASE(no_memory_for_the_threads) {
  constexpr int threads = 13;
  const temporary_file file;
  {
    recording_resource rec{file};
    std::latch all_have_one(threads);
    std::vector<std::thread> running;
    for (int t = 0; t < threads; ++t)
      running.emplace_back([&] {
        void* const block = rec.allocate(100);
        all_have_one.arrive_and_wait();
        rec.deallocate(block, 100);
      });
    for (std::thread& t : running) t.join();
  }
  const replayer recorded(file);
  BOOST_REQUIRE(recorded.concurrent_threads() == 13u);
  buffers::test_resource again;
  buffers::synchronized_resource shared{&again};
  refused_bytes = threads * sizeof(std::thread);
  BOOST_CHECK_THROW((void)recorded.run(shared, free_and_verified), std::bad_alloc);
  refused_bytes = 0;
  BOOST_TEST(again.live_blocks() == 0u);
}
#endif

BOOST_AUTO_TEST_CASE(on_every_resource) {
  const temporary_file file;
  record_churn(file.c_str());
  const replayer recorded(file);
  BOOST_TEST(recorded.summary().left_blocks == 0u);
  const auto on = [&](auto& resource) {
    for (const buffers::replay_options& options : {verified, free_and_verified}) {
      const replay_summary summary = recorded.run(resource, options);
      BOOST_TEST(summary.allocations == 5000u);
      BOOST_TEST(summary.deallocations == 5000u);
      BOOST_TEST(summary.seconds > 0);
    }
  };
  buffers::slab_resource slab;
  on(slab);
  buffers::bump_resource bump{2 * recorded.total_bytes()};  // for two runs
  on(bump);
  buffers::pool_resource pool;
  on(pool);
  buffers::concurrent_pool_resource concurrent;
  on(concurrent);
  buffers::thread_resource<> threads;
  on(threads);
  std::pmr::unsynchronized_pool_resource std_pool;
  on(std_pool);
  std::pmr::synchronized_pool_resource std_synchronized;
  on(std_synchronized);
  on(*std::pmr::new_delete_resource());
  buffers::test_resource checked;
  on(checked);
  BOOST_TEST(checked.live_blocks() == 0u);
  buffers::page_resource pages;
  const temporary_file short_file;
  record_churn(short_file.c_str(), 100);
  BOOST_TEST(replay(short_file, pages, verified).allocations == 100u);
}

BOOST_AUTO_TEST_CASE(what_is_held) {
  const temporary_file file;
  record_churn(file.c_str());
  buffers::pool_resource pool;
  const replay_summary summary = replay(file, pool);
  BOOST_TEST(summary.peak_held == pool.capacity());
  BOOST_TEST(summary.fragmentation() >= 1.0);
  BOOST_TEST(summary.fragmentation() ==
             static_cast<double>(summary.peak_held) / static_cast<double>(summary.peak_bytes));
}

BOOST_AUTO_TEST_CASE(resident_memory_is_held_where_nothing_better_is_known) {
  const temporary_file file;
  {
    recording_resource rec{file};  // of a block that no heap has lying about
    for (int i = 0; i < 2; ++i) rec.deallocate(rec.allocate(40 << 20), 40 << 20);
  }
  const replay_summary summary = replay(file, *std::pmr::new_delete_resource());
  BOOST_TEST(summary.peak_bytes == 40u << 20);
  BOOST_TEST(summary.fragmentation() > 0.9);
  if (!sanitized && !thread_sanitized) BOOST_TEST(summary.fragmentation() < 1.5);  // they keep what is freed
}

BOOST_AUTO_TEST_CASE(threads_in_recorded_order_and_free_running) {
  const temporary_file file;
  record_threads(file.c_str());
  const replayer recorded(file);
  BOOST_TEST(recorded.summary().unknown == 0u);
  BOOST_TEST(recorded.summary().threads == 5u);
  buffers::test_resource checked;
  recorded.run(checked, verified);
  BOOST_TEST(checked.live_blocks() == 0u);
  for (int i = 0; i < 3; ++i) {
    buffers::concurrent_pool_resource pool;
    const replay_summary summary = recorded.run(pool, free_and_verified);
    BOOST_TEST(summary.allocations == 24'000u);
    BOOST_TEST(pool.used() == 0u);
    std::atomic<std::uint64_t> progress{0};
    recorded.run(pool, {.free_running = true, .check_overlap = false, .progress = &progress});
    BOOST_TEST(progress.load() == 48'000u);
  }
}

// What is free-running waits only where a block crosses threads: the second thread's block is freed by the first one,
// which is slower.
BOOST_AUTO_TEST_CASE(a_block_that_crosses_threads_is_waited_for) {
  const temporary_file file;
  {
    recording_resource rec{file};
    for (int i = 0; i < 50; ++i) {
      void* block = nullptr;
      std::thread([&] { block = rec.allocate(1000); }).join();
      rec.deallocate(block, 1000);
    }
  }
  struct slow final : std::pmr::memory_resource {
    void* do_allocate(std::size_t bytes, std::size_t) override {
      std::this_thread::yield();
      void* const block = std::malloc(bytes);
      ++live;
      return block;
    }
    void do_deallocate(void* block, std::size_t, std::size_t) override {
      --live;
      std::free(block);
    }
    bool do_is_equal(const memory_resource& other) const noexcept override { return this == &other; }
    std::atomic<int> live = 0;
  } resource;
  const replayer recorded(file);
  BOOST_TEST(recorded.concurrent_threads() == 2u);  // 51, but never more at the same time
  BOOST_TEST(recorded.run(resource, free_and_verified).deallocations == 50u);
  BOOST_TEST(resource.live == 0);
}

// --- resources that are at fault -------------------------------------------------------------------------------------

BOOST_AUTO_TEST_CASE(blocks_that_overlap_are_found) {
  const temporary_file file;
  {
    recording_resource rec{file};
    std::pmr::vector<std::pmr::string> some(10, std::pmr::string(100, 'x'), &rec);
  }
  struct same_again final : std::pmr::memory_resource {
    alignas(64) std::byte memory[64 * 1024];
    int calls = 0;
    void* do_allocate(std::size_t, std::size_t) override { return memory + 64 * (++calls == 3 ? 17 : 16 * calls); }
    void do_deallocate(void*, std::size_t, std::size_t) override {}
    bool do_is_equal(const memory_resource& other) const noexcept override { return this == &other; }
  } faulty;
  for (bool free_running : {false, true}) {
    faulty.calls = 0;
    try {
      replay(file, faulty, {.free_running = free_running, .contents = replay_contents::untouched});
      BOOST_TEST(false);
    } catch (const replay_error& error) {
      BOOST_TEST(std::string(error.what()).contains("overlaps"), error.what());
      BOOST_TEST(std::string(error.what()).starts_with(std::string("buffers: ") + file.c_str() + ": event "),
                 error.what());
    }
  }
}

BOOST_AUTO_TEST_CASE(contents_that_change_are_found) {
  const temporary_file file;
  record_churn(file.c_str(), 300);
  struct forgetful final : std::pmr::memory_resource {
    std::map<void*, std::size_t> live;
    int calls = 0;
    void* do_allocate(std::size_t bytes, std::size_t alignment) override {
      if (++calls == 200) *static_cast<char*>(live.begin()->first) += 1;
      void* const block = std::pmr::new_delete_resource()->allocate(bytes, alignment);
      live.emplace(block, bytes);
      return block;
    }
    void do_deallocate(void* block, std::size_t bytes, std::size_t alignment) override {
      live.erase(block);
      std::pmr::new_delete_resource()->deallocate(block, bytes, alignment);
    }
    bool do_is_equal(const memory_resource& other) const noexcept override { return this == &other; }
  } faulty;
  BOOST_CHECK_THROW(replay(file, faulty, verified), replay_error);
  BOOST_TEST(faulty.live.empty());  // all is given back
}

BOOST_AUTO_TEST_CASE(contents_of_what_is_left_are_looked_at) {
  struct scribbling final : std::pmr::memory_resource {
    std::mutex mutex;
    std::map<void*, std::size_t> live;
    void* do_allocate(std::size_t bytes, std::size_t alignment) override {
      const std::lock_guard guard(mutex);
      for (const auto& [block, size] : live)
        if (size == 50 && bytes == 70) *static_cast<char*>(block) += 1;  // the same thread's
      void* const block = std::pmr::new_delete_resource()->allocate(bytes, alignment);
      live.emplace(block, bytes);
      return block;
    }
    void do_deallocate(void* block, std::size_t bytes, std::size_t alignment) override {
      const std::lock_guard guard(mutex);
      live.erase(block);
      std::pmr::new_delete_resource()->deallocate(block, bytes, alignment);
    }
    bool do_is_equal(const memory_resource& other) const noexcept override { return this == &other; }
  } faulty;
  const temporary_file file;
  {
    buffers::bump_resource up;
    recording_resource rec{file, &up};
    (void)rec.allocate(50);
    std::thread([&] { rec.deallocate(rec.allocate(60), 60); }).join();
    (void)rec.allocate(70);
  }
  for (const buffers::replay_options& options : {verified, free_and_verified}) {
    const auto is_of_the_block = [&](const replay_error& e) {
      return std::string(e.what()).starts_with(std::string("buffers: ") + file.c_str() +
                                               ": event 0: the block of 50 bytes") &&
             std::string(e.what()).ends_with("does not hold what was written to it");
    };
    BOOST_CHECK_EXCEPTION(replay(file, faulty, options), replay_error, is_of_the_block);
    BOOST_TEST(faulty.live.empty());
  }
}

// What no recording writes, but a file may say: every block that comes goes, once.
BOOST_AUTO_TEST_CASE(events_that_do_not_fit) {
  using enum buffers::trace_operation;
  int next = 0;
  std::vector<int> gone;
  std::pmr::unsynchronized_pool_resource memory;
  buffers::detail::live_blocks<int> live{&memory};
  const auto follow = [&](buffers::trace_operation operation, std::uintptr_t address, std::uint32_t thread = 1) {
    buffers::trace_event e;
    e.operation = operation;
    e.address = address;
    e.thread = thread;
    return live.follow(e, [&](const auto&) { return next++; }, [&](int block) { gone.push_back(block); });
  };
  const auto left = [&] {
    std::vector<std::pair<std::uintptr_t, int>> all;
    live.for_each([&](std::uintptr_t address, int block) { all.emplace_back(address, block); });
    std::ranges::sort(all);
    return all;
  };
  using blocks = std::vector<std::pair<std::uintptr_t, int>>;
  BOOST_TEST((follow(allocate, 16) && follow(allocate, 32) && follow(allocate, 48)));
  // A thread moves one before the last one has arrived.
  BOOST_TEST(follow(move, 16));
  BOOST_TEST(!follow(move, 32));
  BOOST_TEST((gone == std::vector{0}));
  BOOST_TEST(follow(allocate, 64));
  BOOST_TEST((gone == std::vector{0, 1}));
  // One stays where another has come meanwhile.
  BOOST_TEST(follow(move, 48));
  BOOST_TEST(follow(allocate, 48, 2));
  BOOST_TEST(!follow(failed, 0));
  BOOST_TEST((gone == std::vector{0, 1, 4}));
  BOOST_TEST((left() == blocks{{48, 2}, {64, 3}}));
  // One comes where one is; one goes that is not there.
  BOOST_TEST(!follow(allocate, 64));
  BOOST_TEST((gone == std::vector{0, 1, 4, 3}));
  BOOST_TEST(!follow(deallocate, 16));
  BOOST_TEST(!follow(move, 16));
  BOOST_TEST((left() == blocks{{48, 2}, {64, 5}}));
  BOOST_TEST(follow(failed, 0));
}

BOOST_AUTO_TEST_CASE(a_resource_that_is_full) {
  const temporary_file file;
  record_threads(file.c_str(), 3, 500);
  for (bool free_running : {false, true}) {
    buffers::test_resource up;
    up.set_allocation_limit(1000);
    buffers::synchronized_resource shared{&up};
    BOOST_CHECK_THROW(replay(file, shared, {.free_running = free_running}), std::bad_alloc);
    BOOST_TEST(up.live_blocks() == 0u);
  }
  buffers::limit_resource budget{50};
  BOOST_CHECK_THROW(replay(file, budget), buffers::exhausted);
}

BOOST_AUTO_TEST_CASE(a_damaged_trace_is_replayed_up_to_there) {
  const temporary_file file;
  record_churn(file.c_str());
  std::filesystem::resize_file(file.c_str(), std::filesystem::file_size(file.c_str()) / 2);
  buffers::pool_resource pool;
  const replay_summary summary = replay(file, pool, verified);
  BOOST_REQUIRE(summary.damage.has_value());
  BOOST_TEST(summary.damage->record() == summary.events);
  BOOST_TEST(summary.events > 3000u);
  BOOST_TEST(summary.left_blocks > 0u);
  BOOST_TEST(pool.used() == 0u);
  BOOST_CHECK_THROW(replay("/no/such/trace", pool), std::system_error);
}

BOOST_AUTO_TEST_SUITE_END()
