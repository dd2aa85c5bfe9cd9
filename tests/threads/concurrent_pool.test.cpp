#include <algorithm>
#include <array>
#include <atomic>
#include <boost/test/unit_test.hpp>
#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <deque>
#include <exception>
#include <latch>
#include <list>
#include <memory>
#include <memory_resource>
#include <mutex>
#include <new>
#include <optional>
#include <random>
#include <set>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "support/child.hpp"
#include "support/require.hpp"
import buffers;
import buffers.testing;
#include "support/one_at_a_time.hpp"

using buffers::concurrent_pool_resource;
using buffers::pool_stats;
using buffers::test_resource;

namespace {

/// A sanitizer's program does that many times less.
constexpr int less = sanitized || !children_may_start_threads ? 10 : 1;

/// Runs f on a thread to its end; what it throws is thrown here.
template <class F>
void on_thread(F f) {
  std::exception_ptr error;
  std::thread([&] {
    try {
      f();
    } catch (...) {
      error = std::current_exception();
    }
  }).join();
  if (error != nullptr) std::rethrow_exception(error);
}

/// Runs f(0), f(1), ... at once, each on a thread to its end; what one of them throws is thrown here.
template <class F>
void on_threads(int count, F f) {
  std::mutex mutex;
  std::exception_ptr error;
  std::vector<std::thread> running;
  for (int i = 0; i < count; ++i)
    running.emplace_back([&, i] {
      try {
        f(i);
      } catch (...) {
        const std::lock_guard locked{mutex};
        error = std::current_exception();
      }
    });
  for (std::thread& thread : running) thread.join();
  if (error != nullptr) std::rethrow_exception(error);
}

/// std::barrier, the waiting of which lies in the standard library's binary, where ThreadSanitizer does not see it.
class meeting {
 public:
  explicit meeting(int threads) : threads_(threads) {}
  void arrive_and_wait() {
    std::unique_lock locked{mutex_};
    const int round = round_;
    if (++arrived_ == threads_) {
      arrived_ = 0;
      ++round_;
      all_are_here_.notify_all();
    }
    all_are_here_.wait(locked, [&] { return round_ != round; });
  }

 private:
  std::mutex mutex_;
  std::condition_variable all_are_here_;
  int threads_, arrived_ = 0, round_ = 0;
};

/// A block that is full of its cookie.
struct parcel {
  std::byte* first = nullptr;
  std::size_t bytes = 0, alignment = 1;
  std::uint64_t cookie = 0;

  void fill() const {
    for (std::size_t at = 0; at < bytes; at += sizeof cookie)
      std::memcpy(first + at, &cookie, std::min(sizeof cookie, bytes - at));
  }
  bool is_intact() const {
    for (std::size_t at = 0; at < bytes; at += sizeof cookie)
      if (std::memcmp(first + at, &cookie, std::min(sizeof cookie, bytes - at)) != 0) return false;
    return true;
  }
};

parcel make_parcel(concurrent_pool_resource& pool, std::size_t bytes, std::size_t alignment, std::uint64_t cookie) {
  const parcel made{static_cast<std::byte*>(pool.allocate(bytes, alignment)), bytes, alignment, cookie};
  require(reinterpret_cast<std::uintptr_t>(made.first) % alignment == 0);
  made.fill();
  return made;
}
void open_parcel(concurrent_pool_resource& pool, const parcel& opened) {
  require(opened.is_intact());
  pool.deallocate(opened.first, opened.bytes, opened.alignment);
}

/// Mostly small; of all kinds that the pool treats in another way.
parcel make_any_parcel(concurrent_pool_resource& pool, std::mt19937_64& random) {
  const std::uint64_t dice = random() % 2000;
  const std::size_t most = dice == 0 ? 3'000'000 : dice < 10 ? 300'000 : dice < 100 ? 20'000 : 500;
  const std::size_t alignment = std::size_t{1} << (random() % 500 == 0 ? 13 : random() % 50 == 0 ? 12 : random() % 7);
  return make_parcel(pool, 1 + random() % most, alignment, random());
}

/// Where parcels wait for another thread.
class post {
 public:
  void leave(const parcel& brought) {
    const std::lock_guard locked{mutex_};
    waiting_.push_back(brought);
  }
  std::optional<parcel> fetch(std::uint64_t any) {
    const std::lock_guard locked{mutex_};
    if (waiting_.empty()) return std::nullopt;
    std::swap(waiting_[any % waiting_.size()], waiting_.back());
    const parcel fetched = waiting_.back();
    waiting_.pop_back();
    return fetched;
  }
  void open_all(concurrent_pool_resource& pool) {
    while (const auto fetched = fetch(0)) open_parcel(pool, *fetched);
  }

 private:
  std::mutex mutex_;
  std::vector<parcel> waiting_;
};

/// What a thread does for a while: makes parcels, opens them, leaves them for others and fetches theirs.
void trade(concurrent_pool_resource& pool, post& office, std::mt19937_64& random, int steps) {
  std::vector<parcel> own;
  for (int i = 0; i < steps; ++i) {
    const std::uint64_t choice = random() % 100;
    if (choice < 45) {
      own.push_back(make_any_parcel(pool, random));
    } else if (choice < 70 && !own.empty()) {
      std::swap(own[random() % own.size()], own.back());
      if (choice < 57)
        open_parcel(pool, own.back());
      else
        office.leave(own.back());
      own.pop_back();
    } else if (const auto fetched = office.fetch(random())) {
      open_parcel(pool, *fetched);
    }
    if (choice == 99) {
      (void)pool.used();
      (void)pool.stats();
      require(own.empty() || pool.owns(own.back().first));
    }
  }
  for (const parcel& left : own) office.leave(left);  // for those who are there after this thread
}

template <class T>
class bounded_queue {
 public:
  explicit bounded_queue(std::size_t most) : most_(most) {}
  void push(T value) {
    std::unique_lock locked{mutex_};
    changed_.wait(locked, [&] { return waiting_.size() < most_; });
    waiting_.push_back(std::move(value));
    changed_.notify_one();  // the other one: there are two threads, and not both of them wait
  }
  T pop() {
    std::unique_lock locked{mutex_};
    changed_.wait(locked, [&] { return !waiting_.empty(); });
    T value = std::move(waiting_.front());
    waiting_.pop_front();
    changed_.notify_one();
    return value;
  }

 private:
  const std::size_t most_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<T> waiting_;
};

/// All that a failed call must not change.
std::vector<std::size_t> state_of(const concurrent_pool_resource& pool, const test_resource& upstream) {
  const pool_stats stats = pool.stats();
  return {pool.used(), pool.peak(), pool.capacity(), stats.live, stats.hits, stats.oversize, upstream.live_bytes()};
}

template <class Error, class F>
bool throws(F f) {
  try {
    f();
  } catch (const Error&) {
    return true;
  }
  return false;
}

}  // namespace

BOOST_AUTO_TEST_SUITE(concurrent_pools)

// --- blocks cross threads --------------------------------------------------------------------------------------------

BOOST_AUTO_TEST_CASE(blocks_cross_threads) {
  one_at_a_time upstream;
  {
    concurrent_pool_resource pool{{}, &upstream};
    post office;
    on_threads(4, [&](int i) {
      std::mt19937_64 random(static_cast<unsigned>(i));
      trade(pool, office, random, 100'000 / less);
    });
    BOOST_TEST(pool.used() > 0u);
    BOOST_TEST(pool.peak() >= pool.used());
    office.open_all(pool);
    BOOST_TEST(pool.used() == 0u);
    BOOST_TEST(pool.stats().oversize == 0u);
    const std::size_t held = pool.capacity();
    BOOST_TEST(pool.trim(0) == held);
    BOOST_TEST(pool.stats().live == 0u);
    BOOST_TEST(pool.capacity() == 0u);
  }
  BOOST_TEST(upstream.together == 0u);
  BOOST_TEST(upstream.below.first_mistake() == "");
  BOOST_TEST(upstream.below.is_clean());
}

// ... with a pool that gives its memory upstream, and gets it again, all the time.
BOOST_AUTO_TEST_CASE(blocks_cross_threads_and_nothing_is_spare) {
  one_at_a_time upstream;
  {
    concurrent_pool_resource pool{{.largest_chunk = 64 * 1024, .spare = 0}, &upstream};
    post office;
    on_threads(3, [&](int i) {
      std::mt19937_64 random(100 + static_cast<unsigned>(i));
      for (int round = 0; round < 10; ++round) {
        trade(pool, office, random, 3000 / less);
        if (i == 0) (void)pool.trim(0);
      }
    });
    office.open_all(pool);
    BOOST_TEST(pool.used() == 0u);
    (void)pool.trim(0);
    BOOST_TEST(pool.capacity() == 0u);
  }
  BOOST_TEST(upstream.together == 0u);
  BOOST_TEST(upstream.below.first_mistake() == "");
  BOOST_TEST(upstream.below.is_clean());
}

BOOST_AUTO_TEST_CASE(threads_die_and_their_blocks_live_on) {
  test_resource upstream;
  {
    concurrent_pool_resource pool{{}, &upstream};
    post office;
    std::mt19937_64 seeds(1);
    for (int round = 0; round < 200 / less; ++round) {
      std::array<std::uint64_t, 3> seed{seeds(), seeds(), seeds()};
      on_threads(3, [&](int i) {
        std::mt19937_64 random(seed[static_cast<std::size_t>(i)]);
        for (int k = 0; k < 300; ++k) {
          office.leave(make_parcel(pool, 1 + random() % 2000, std::size_t{1} << random() % 7, random()));
          if (const auto fetched = office.fetch(random()); k % 3 != 0 && fetched)
            open_parcel(pool, *fetched);
          else if (fetched)
            office.leave(*fetched);
        }
      });
      if (round % 2 != 0) office.open_all(pool);
      if (round % 2 != 0) BOOST_REQUIRE(pool.used() == 0u);
      BOOST_REQUIRE(pool.peak() >= pool.used());
    }
    // What 600 dead threads held is there for the next: a multiple of the most that was live, which chunks that double
    // and the lists of three threads explain.
    BOOST_TEST(pool.capacity() <= 16 * pool.peak());
    (void)pool.trim(0);
    BOOST_TEST(pool.capacity() == 0u);
  }
  BOOST_TEST(upstream.first_mistake() == "");
  BOOST_TEST(upstream.is_clean());
}

BOOST_AUTO_TEST_CASE(what_a_dead_thread_held_comes_back) {
  concurrent_pool_resource pool{{.spare = 0}};
  on_thread([&] {
    std::vector<void*> blocks;
    for (std::size_t bytes = 16; bytes <= (1 << 20); bytes *= 2) blocks.push_back(pool.allocate(bytes));
    for (std::size_t bytes = 16; void* block : blocks) pool.deallocate(block, std::exchange(bytes, bytes * 2));
  });
  BOOST_TEST(pool.used() == 0u);
  BOOST_TEST(pool.stats().live == 0u);
  (void)pool.trim(0);
  BOOST_TEST(pool.capacity() == 0u);
}

BOOST_AUTO_TEST_CASE(containers_cross_threads) {
  test_resource upstream;
  {
    concurrent_pool_resource pool{{}, &upstream};
    std::vector<std::pmr::vector<std::pmr::string>> sent;
    sent.reserve(100);
    on_thread([&] {
      for (int i = 0; i < 100; ++i) {
        auto& words = sent.emplace_back(&pool);
        for (int k = 0; k < i; ++k) words.emplace_back("a word that is too long for the string object itself");
      }
    });
    on_thread([&] {
      for (auto& words : sent) {
        if (!words.empty()) words.erase(words.begin());
        words.emplace_back("the last word, and a longer one than all the others were before it");
        words.shrink_to_fit();
      }
    });
    on_thread([&] { sent.clear(); });
    BOOST_TEST(pool.used() == 0u);
  }
  BOOST_TEST(upstream.first_mistake() == "");
  BOOST_TEST(upstream.is_clean());
}

// --- producer and consumer -------------------------------------------------------------------------------------------

// Fresh blocks are taken when the producer's lists and the store are empty. Then there are no more than 64 blocks in
// the queue, 2 in hands, and 2 * 128 + 1 in the consumer's lists: with the next 256 less than three runs of 256 blocks
// of 64 bytes, which fit into one chunk of 64 KiB.
BOOST_AUTO_TEST_CASE(memory_stays_flat_between_a_producer_and_a_consumer) {
  test_resource upstream;
  {
    concurrent_pool_resource pool{{.first_chunk = 64 * 1024}, &upstream};
    constexpr int messages = 200'000 / less;
    bounded_queue<parcel> queue(64);
    std::atomic<std::size_t> greatest = 0;
    on_threads(2, [&](int i) {
      for (int k = 0; k < messages; ++k) {
        if (i == 0) {
          queue.push(make_parcel(pool, 49 + static_cast<std::size_t>(k % 16), 8, static_cast<std::uint64_t>(k)));
        } else {
          const parcel next = queue.pop();
          require(next.cookie == static_cast<std::uint64_t>(k));
          open_parcel(pool, next);
          if (k % 100 == 0) greatest = std::max(greatest.load(), pool.capacity());
        }
      }
    });
    BOOST_TEST(greatest == 64u * 1024);
    BOOST_TEST(pool.capacity() == 64u * 1024);
    BOOST_TEST(pool.used() == 0u);
    BOOST_TEST(upstream.allocations() == 1u);
  }
  BOOST_TEST(upstream.is_clean());
}

// The same for blocks of all sizes up to 4 KiB, in pairs: for each of the 28 classes the lists hold up to 2 * 16 KiB
// and 2 * 8 blocks on each side, and a run has up to 64 KiB.
BOOST_AUTO_TEST_CASE(memory_stays_flat_for_messages_of_many_sizes) {
  concurrent_pool_resource pool;
  constexpr int messages = 200'000 / less;
  bounded_queue<std::pair<parcel, parcel>> queue(64);
  std::size_t after_a_tenth = 0;
  on_threads(2, [&](int i) {
    std::mt19937_64 random(7);
    for (int k = 0; k < messages; ++k) {
      if (i == 0) {
        const parcel small = make_parcel(pool, 1 + random() % 200, 8, random());
        queue.push({small, make_parcel(pool, 1 + random() % 4096, 8, random())});
      } else {
        const auto [small, other] = queue.pop();
        open_parcel(pool, small);
        open_parcel(pool, other);
        if (k == messages / 10) after_a_tenth = pool.capacity();
      }
    }
  });
  BOOST_TEST(after_a_tenth > 0u);
  BOOST_TEST(pool.capacity() <= 2 * 28 * (4 * 16 + 4 * 8 * 4 + 64) * 1024u);
  BOOST_TEST(pool.capacity() <= 4 * after_a_tenth);
  BOOST_TEST(pool.used() == 0u);
}

BOOST_AUTO_TEST_CASE(threads_give_back_what_they_did_not_use) {
  test_resource upstream;
  concurrent_pool_resource pool{{}, &upstream};
  constexpr int rounds = 1000 / less;
  std::array<std::vector<void*>, 2> blocks;
  meeting both(2);
  on_threads(2, [&](int i) {
    for (int round = 0; round < rounds; ++round) {
      blocks[static_cast<std::size_t>(i)].push_back(pool.allocate(64));
      both.arrive_and_wait();
      pool.trim(0);
      both.arrive_and_wait();
    }
  });
  BOOST_TEST(pool.used() == 2u * rounds * 64);
  BOOST_TEST(pool.capacity() <= 512u * 1024);
  BOOST_TEST(pool.stats().live == 2u * rounds);
  std::set<void*> different;
  for (const auto& some : blocks) {
    for (void* const block : some) {
      std::memset(block, 1, 64);
      different.insert(block);
      pool.deallocate(block, 64);
    }
  }
  BOOST_TEST(different.size() == 2u * rounds);
  pool.trim(0);
  BOOST_TEST(pool.capacity() == 0u);
}

BOOST_AUTO_TEST_CASE(a_thread_that_only_frees) {
  test_resource upstream;
  {
    concurrent_pool_resource pool{{}, &upstream};
    std::vector<parcel> made;
    for (std::uint64_t i = 0; i < 5000; ++i) made.push_back(make_parcel(pool, 64, 8, i));
    const std::size_t held = pool.capacity();
    on_thread([&] {
      for (const parcel& each : made) open_parcel(pool, each);
      require(pool.used() == 0);
    });
    BOOST_TEST(pool.used() == 0u);
    BOOST_TEST(pool.peak() >= 5000u * 64);
    for (parcel& each : made) each = make_parcel(pool, 64, 8, 1);
    BOOST_TEST(pool.capacity() == held);  // they were there again
    BOOST_TEST(pool.used() == 5000u * 64);
    for (const parcel& each : made) open_parcel(pool, each);
    (void)pool.trim(0);
    BOOST_TEST(pool.capacity() == 0u);
  }
  BOOST_TEST(upstream.is_clean());
}

// Each thread has a part of it that has not been in use; nothing of it is lost or handed out twice when they end.
BOOST_AUTO_TEST_CASE(two_threads_share_a_run_and_end) {
  constexpr std::size_t bytes = 64, blocks = 256;  // of a run
  for (const bool first_ends_first : {true, false}) {
    test_resource upstream;
    {
      concurrent_pool_resource pool{{}, &upstream};
      std::latch first_has{1}, second_has{1}, first_may_end{first_ends_first ? 0 : 1}, second_may_end{1};
      std::byte *a = nullptr, *b = nullptr;
      std::thread first([&] {
        a = static_cast<std::byte*>(pool.allocate(bytes));
        first_has.count_down();
        second_has.wait();
        first_may_end.wait();
      });
      std::thread second([&] {
        first_has.wait();
        b = static_cast<std::byte*>(pool.allocate(bytes));
        second_has.count_down();
        second_may_end.wait();
      });
      if (first_ends_first) {
        first.join();
        second_may_end.count_down();
        second.join();
      } else {
        second_may_end.count_down();
        second.join();
        first_may_end.count_down();
        first.join();
      }
      BOOST_TEST(b - a == 8192);
      std::set<std::byte*> all{a, b};
      while (all.size() < blocks) BOOST_REQUIRE(all.insert(static_cast<std::byte*>(pool.allocate(bytes))).second);
      BOOST_TEST(*all.rbegin() - *all.begin() == static_cast<std::ptrdiff_t>((blocks - 1) * bytes));
      BOOST_TEST(pool.stats().live == blocks);
      for (std::byte* const block : all) pool.deallocate(block, bytes);
      BOOST_TEST(pool.trim(0) == 64u * 1024);
      BOOST_TEST(pool.capacity() == 0u);
    }
    BOOST_TEST(upstream.is_clean());
  }
}

// --- large blocks ----------------------------------------------------------------------------------------------------

// ... has no use for them: it keeps no more than half of what a stack has room for, from the first one on.
BOOST_AUTO_TEST_CASE(a_thread_that_only_frees_keeps_few) {
  concurrent_pool_resource pool;
  constexpr std::size_t bytes = 256, others = 128, room = 128;
  std::vector<void*> blocks(40 * 128 + others);  // whole runs
  for (void*& block : blocks) block = pool.allocate(bytes);
  BOOST_TEST(pool.stats().live == blocks.size());
  on_thread([&] {
    std::size_t most = 0;
    for (std::size_t i = 0; i != blocks.size() - others; ++i) {
      pool.deallocate(blocks[i], bytes);
      most = std::max(most, pool.stats().live - (blocks.size() - i - 1));
    }
    BOOST_TEST(most == room / 2);
  });
  for (std::size_t i = blocks.size() - others; i != blocks.size(); ++i) pool.deallocate(blocks[i], bytes);
  BOOST_TEST(pool.used() == 0u);
}

BOOST_AUTO_TEST_CASE(large_blocks_cross_threads) {
  buffers::page_resource upstream;
  {
    concurrent_pool_resource pool{{}, &upstream};
    constexpr std::size_t mib = std::size_t{1} << 20;
    struct {
      std::size_t bytes, alignment;
    } const sizes[] = {{mib, 16},          {mib + 1, 16},     {5 * mib, 4096}, {128 * mib, 16},
                       {128 * mib + 1, 8}, {300 * mib, 4096}, {100, 8192},     {1, std::size_t{1} << 21},
                       {2 * mib, 1 << 16}};
    std::vector<parcel> made;
    for (int round = 0; round < 3; ++round) {
      on_threads(2, [&](int i) {
        static std::mutex mutex;
        for (std::size_t k = static_cast<std::size_t>(i); k < std::size(sizes); k += 2) {
          auto* const block = static_cast<std::byte*>(pool.allocate(sizes[k].bytes, sizes[k].alignment));
          require(reinterpret_cast<std::uintptr_t>(block) % sizes[k].alignment == 0);
          block[0] = block[sizes[k].bytes - 1] = std::byte{7};  // most of it is never touched
          require(pool.owns(block) && pool.owns(block + sizes[k].bytes - 1));
          const std::lock_guard locked{mutex};
          made.push_back({block, sizes[k].bytes, sizes[k].alignment});
        }
      });
      BOOST_TEST(pool.stats().oversize == 5u);
      BOOST_TEST(pool.peak() >= pool.used());
      BOOST_TEST(pool.capacity() >= pool.used());
      on_threads(2, [&](int i) {
        for (std::size_t k = static_cast<std::size_t>(i); k < made.size(); k += 2) {
          require(made[k].first[0] == std::byte{7} && made[k].first[made[k].bytes - 1] == std::byte{7});
          pool.deallocate(made[k].first, made[k].bytes, made[k].alignment);
        }
      });
      made.clear();
      BOOST_TEST(pool.used() == 0u);
      BOOST_TEST(pool.stats().oversize == 0u);
    }
    (void)pool.trim(0);
    BOOST_TEST(pool.capacity() == 0u);
  }
  BOOST_TEST(upstream.used() == 0u);
}

// --- pools come and go -----------------------------------------------------------------------------------------------

BOOST_AUTO_TEST_CASE(pools_come_and_go_while_threads_live) {
  test_resource upstream;
  std::optional<concurrent_pool_resource> pool;  // each at the address of the one before it
  constexpr int threads = 3, rounds = 100 / less;
  meeting turn(threads + 1);
  std::vector<std::thread> running;
  std::atomic<int> wrong = 0;
  for (int i = 0; i < threads; ++i)
    running.emplace_back([&, i] {
      std::mt19937_64 random(static_cast<unsigned>(i));
      for (int round = 0; round < rounds; ++round) {
        turn.arrive_and_wait();
        try {
          std::vector<parcel> made;
          for (int k = 0; k < 200; ++k) made.push_back(make_parcel(*pool, 1 + random() % 5000, 8, random()));
          for (std::size_t k = 0; k < made.size(); k += 2) open_parcel(*pool, made[k]);  // the rest goes with the pool
          for (std::size_t k = 1; k < made.size(); k += 2) require(made[k].is_intact());
        } catch (const std::exception&) {
          ++wrong;
        }
        turn.arrive_and_wait();
      }
    });
  for (int round = 0; round < rounds; ++round) {
    pool.emplace(buffers::pool_options{}, &upstream);
    const std::size_t before = pool->used();
    turn.arrive_and_wait();
    turn.arrive_and_wait();
    wrong += before != 0 || pool->used() == 0;
    pool.reset();
    wrong += !upstream.is_clean();
  }
  for (std::thread& thread : running) thread.join();
  BOOST_TEST(wrong == 0);
}

// More than a thread remembers the lists of.
BOOST_AUTO_TEST_CASE(many_pools_in_each_thread) {
  test_resource upstream;
  {
    std::vector<std::unique_ptr<concurrent_pool_resource>> pools;
    std::mutex mutex;  // of upstream, which is theirs together
    struct locked_upstream : std::pmr::memory_resource {
      locked_upstream(std::mutex& m, test_resource& r) : mutex(m), below(r) {}
      void* do_allocate(std::size_t bytes, std::size_t alignment) override {
        const std::lock_guard locked{mutex};
        return below.allocate(bytes, alignment);
      }
      void do_deallocate(void* block, std::size_t bytes, std::size_t alignment) override {
        const std::lock_guard locked{mutex};
        below.deallocate(block, bytes, alignment);
      }
      bool do_is_equal(const memory_resource& other) const noexcept override { return this == &other; }
      std::mutex& mutex;
      test_resource& below;
    } shared(mutex, upstream);
    for (int i = 0; i < 40; ++i)
      pools.push_back(std::make_unique<concurrent_pool_resource>(buffers::pool_options{}, &shared));
    std::vector<post> offices(pools.size());
    on_threads(3, [&](int i) {
      std::mt19937_64 random(static_cast<unsigned>(i));
      for (int k = 0; k < 20'000 / less; ++k) {
        const std::size_t which = random() % pools.size();
        offices[which].leave(make_parcel(*pools[which], 1 + random() % 300, 8, random()));
        const std::size_t other = random() % pools.size();
        if (const auto fetched = offices[other].fetch(random())) open_parcel(*pools[other], *fetched);
      }
    });
    int wrong = 0;
    for (std::size_t i = 0; i < pools.size(); ++i) {
      offices[i].open_all(*pools[i]);
      wrong += pools[i]->used() != 0;
      (void)pools[i]->trim(0);
      wrong += pools[i]->capacity() != 0;
    }
    BOOST_TEST(wrong == 0);
  }
  BOOST_TEST(upstream.first_mistake() == "");
  BOOST_TEST(upstream.is_clean());
}

// A thread that ends gives its blocks to the upper pool, which gives chunks to the lower one, of which the thread then
// has lists again.
BOOST_AUTO_TEST_CASE(a_pool_on_a_pool) {
  one_at_a_time upstream;
  {
    concurrent_pool_resource lower{{}, &upstream};
    {
      concurrent_pool_resource upper{{.largest_chunk = 64 * 1024, .spare = 0}, &lower};
      post office;
      for (int round = 0; round < 10; ++round)
        on_threads(3, [&](int i) {
          std::mt19937_64 random(static_cast<unsigned>(10 * round + i));
          trade(upper, office, random, 1000 / less);
          (void)lower.allocate(100);
        });
      office.open_all(upper);
      BOOST_TEST(upper.used() == 0u);
    }
    BOOST_TEST(lower.used() == 30u * 100);
    lower.release();
    BOOST_TEST(lower.capacity() == 0u);
  }
  BOOST_TEST(upstream.together == 0u);
  BOOST_TEST(upstream.below.first_mistake() == "");
  BOOST_TEST(upstream.below.is_clean());
}

// Threads give their lists, and through them memory upstream, while the pool gives upstream what is left.
BOOST_AUTO_TEST_CASE(a_pool_ends_as_its_threads_do) {
  for (int round = 0; round < 500 / less; ++round) {
    one_at_a_time upstream;
    std::optional<concurrent_pool_resource> pool(std::in_place, buffers::pool_options{.spare = 0}, &upstream);
    constexpr int threads = 3;
    std::latch used(threads + 1);
    std::vector<std::thread> running;
    for (int i = 0; i < threads; ++i)
      running.emplace_back([&] {
        (void)pool->allocate(100, 8192);
        void* const blocks[] = {pool->allocate(20'000), pool->allocate(200'000), pool->allocate(64)};
        pool->deallocate(blocks[0], 20'000);
        pool->deallocate(blocks[1], 200'000);
        pool->deallocate(blocks[2], 64);
        used.arrive_and_wait();
      });
    used.arrive_and_wait();
    pool.reset();
    for (std::thread& thread : running) thread.join();
    BOOST_REQUIRE(upstream.together == 0u);
    BOOST_REQUIRE(upstream.below.first_mistake() == "");
    BOOST_REQUIRE(upstream.below.is_clean());
  }
}

// --- all of it -------------------------------------------------------------------------------------------------------

BOOST_AUTO_TEST_CASE(release_while_threads_wait) {
  test_resource upstream;
  concurrent_pool_resource pool{{}, &upstream};
  meeting turn(2);
  int wrong = 0;
  std::thread other([&] {
    for (int round = 0; round < 3; ++round) {
      for (std::size_t i = 0; i < 300; ++i) {
        const parcel kept = make_parcel(pool, 1 + i * 10, 8, i);
        open_parcel(pool, make_parcel(pool, 1 + i * 20, 8, i));
        wrong += !kept.is_intact();
      }
      (void)pool.allocate(2'000'000);
      (void)pool.allocate(100, 8192);
      turn.arrive_and_wait();
      turn.arrive_and_wait();
    }
  });
  for (int round = 0; round < 3; ++round) {
    (void)pool.allocate(1000);
    turn.arrive_and_wait();
    BOOST_TEST(pool.used() > 2'000'000u);
    const std::size_t peak = pool.peak();
    pool.release();
    BOOST_TEST(pool.used() == 0u);
    BOOST_TEST(pool.capacity() == 0u);
    BOOST_TEST(pool.peak() == peak);
    BOOST_TEST(pool.stats().live == 0u);
    BOOST_TEST(upstream.is_clean());
    turn.arrive_and_wait();
  }
  other.join();
  BOOST_TEST(wrong == 0);
}

BOOST_AUTO_TEST_CASE(stats_of_all_threads) {
  concurrent_pool_resource pool;
  std::array<void*, 5> small;
  void* large = nullptr;
  void* oversize = nullptr;
  on_thread([&] {
    for (void*& block : small) block = pool.allocate(64);
    large = pool.allocate(3 << 20);
    oversize = pool.allocate(100, 8192);
  });
  pool_stats stats = pool.stats();
  BOOST_TEST(stats.buckets[0].block_size == 64u);
  BOOST_TEST(stats.buckets[0].live == 5u);
  BOOST_TEST(stats.buckets[0].misses == 5u);
  BOOST_TEST(stats.buckets[0].hits == 0u);
  BOOST_TEST(stats.buckets[16].block_size == std::size_t{4} << 20);
  BOOST_TEST(stats.buckets[16].live == 1u);
  BOOST_TEST(stats.oversize == 1u);
  BOOST_TEST(stats.live == 6u);
  on_thread([&] {
    for (std::size_t i = 0; i < 3; ++i) pool.deallocate(small[i], 64);
    pool.deallocate(large, 3 << 20);
    pool.deallocate(oversize, 100, 8192);
  });
  stats = pool.stats();
  BOOST_TEST(stats.buckets[0].live == 2u);
  BOOST_TEST(stats.buckets[0].free == 3u);
  BOOST_TEST(stats.buckets[0].free_bytes == 3u * 64);
  BOOST_TEST(stats.buckets[16].live == 0u);
  BOOST_TEST(stats.buckets[16].free == 1u);
  BOOST_TEST(stats.oversize == 0u);
  on_thread([&] {
    for (std::size_t i = 0; i < 3; ++i) small[i] = pool.allocate(64);
    pool.deallocate(pool.allocate(3 << 20), 3 << 20);
  });
  stats = pool.stats();
  BOOST_TEST(stats.buckets[0].hits == 3u);
  BOOST_TEST(stats.buckets[0].misses == 5u);
  BOOST_TEST(stats.buckets[0].live == 5u);
  BOOST_TEST(stats.buckets[0].free == 0u);
  BOOST_TEST(stats.buckets[16].hits == 1u);
  for (void* block : small) pool.deallocate(block, 64);
  BOOST_TEST(pool.used() == 0u);
}

BOOST_AUTO_TEST_CASE(peak_is_never_less_than_what_was_used) {
  concurrent_pool_resource pool;
  BOOST_TEST(pool.peak() == 0u);
  std::mt19937_64 random(3);
  std::vector<parcel> made;
  std::size_t most = 0, wrong = 0;
  for (int i = 0; i < 5000 / less; ++i) {
    on_threads(i % 100 == 0 ? 1 : 0, [&](int) {
      while (made.size() > 50) {
        open_parcel(pool, made.back());
        made.pop_back();
      }
    });
    made.push_back(make_any_parcel(pool, random));
    most = std::max(most, pool.used());
    wrong += pool.peak() < most;
    if (i % 1000 == 999) {
      pool.reset_peak();
      most = pool.used();
      wrong += pool.peak() < most;
    }
  }
  BOOST_TEST(wrong == 0u);
  for (const parcel& each : made) open_parcel(pool, each);
  (void)pool.trim(0);
  pool.reset_peak();
  BOOST_TEST(pool.peak() == 0u);
}

BOOST_AUTO_TEST_CASE(peak_of_large_blocks) {
  concurrent_pool_resource pool;
  void *large = nullptr, *oversize = nullptr;
  on_thread([&] {
    large = pool.allocate(2 << 20);
    oversize = pool.allocate(100, 8192);
  });
  pool.deallocate(large, 2 << 20);
  pool.deallocate(oversize, 100, 8192);
  BOOST_TEST(pool.peak() >= (2u << 20) + 100);
  pool.reset_peak();
  BOOST_TEST(pool.peak() == 0u);
}

BOOST_AUTO_TEST_CASE(a_new_pool_has_allocated_nothing) {
  test_resource upstream;
  const concurrent_pool_resource pool{&upstream};
  BOOST_TEST(upstream.allocations() == 0u);
  BOOST_TEST(pool.upstream_resource() == &upstream);
  BOOST_TEST(pool.used() == 0u);
  BOOST_TEST(!pool.owns(&pool));
}

BOOST_AUTO_TEST_CASE(options_out_of_range) {
  BOOST_CHECK_THROW(concurrent_pool_resource({.first_chunk = 1000}), std::invalid_argument);
  BOOST_CHECK_THROW(concurrent_pool_resource({.first_chunk = 1 << 20, .largest_chunk = 1 << 19}),
                    std::invalid_argument);
}

// --- what fails ------------------------------------------------------------------------------------------------------

BOOST_AUTO_TEST_CASE(upstream_fails_at_the_nth_call) {
  for (std::int64_t limit = 0; limit < 12; ++limit) {
    test_resource upstream;
    {
      concurrent_pool_resource pool{{.largest_chunk = 256 * 1024}, &upstream};
      post office;
      upstream.set_allocation_limit(limit);
      std::size_t refused = 0, unlike = 0;
      on_thread([&] {
        std::mt19937_64 random(static_cast<unsigned>(limit));
        for (int i = 0; i < 2000; ++i) {
          const auto before = state_of(pool, upstream);
          const std::size_t bytes = 1 + random() % (i % 50 == 0 ? 2'000'000 : i % 7 == 0 ? 40'000 : 500);
          const std::size_t alignment = std::size_t{1} << (i % 60 == 0 ? 13 : random() % 8);
          try {
            office.leave(make_parcel(pool, bytes, alignment, random()));
          } catch (const std::bad_alloc&) {
            ++refused;
            unlike += state_of(pool, upstream) != before;
          }
          if (const auto fetched = office.fetch(random()); i % 3 != 0 && fetched)
            open_parcel(pool, *fetched);
          else if (fetched)
            office.leave(*fetched);
        }
      });
      BOOST_TEST(refused > 0u);
      BOOST_TEST(unlike == 0u);
      upstream.set_allocation_limit(-1);
      on_thread([&] { office.leave(make_parcel(pool, 3'000'000, 64, 1)); });
      office.open_all(pool);
      BOOST_TEST(pool.used() == 0u);
      (void)pool.trim(0);
      BOOST_TEST(pool.capacity() == 0u);
    }
    BOOST_TEST(upstream.first_mistake() == "");
    BOOST_TEST(upstream.is_clean());
  }
}

// Any exception of upstream passes, and leaves no lock behind.
BOOST_AUTO_TEST_CASE(upstream_throws_something_else) {
  struct throwing : std::pmr::memory_resource {
    bool does = true;
    test_resource below;
    void* do_allocate(std::size_t bytes, std::size_t alignment) override {
      return does ? throw std::runtime_error("upstream") : below.allocate(bytes, alignment);
    }
    void do_deallocate(void* block, std::size_t bytes, std::size_t alignment) override {
      below.deallocate(block, bytes, alignment);
    }
    bool do_is_equal(const memory_resource& other) const noexcept override { return this == &other; }
  } upstream;
  concurrent_pool_resource pool{{}, &upstream};
  int wrong = 0;
  const auto try_all = [&] {
    for (std::size_t bytes : {16uz, 100'000uz, 2'000'000uz, 200'000'000uz})
      wrong += !throws<std::runtime_error>([&] { (void)pool.allocate(bytes); });
    wrong += !throws<std::runtime_error>([&] { (void)pool.allocate(16, 8192); });
  };
  try_all();
  on_thread(try_all);
  BOOST_TEST(wrong == 0);
  BOOST_TEST(pool.used() == 0u);
  BOOST_TEST(pool.peak() == 0u);
  upstream.does = false;
  on_thread([&] { open_parcel(pool, make_parcel(pool, 100, 8, 1)); });
  BOOST_TEST(pool.used() == 0u);
}

BOOST_AUTO_TEST_CASE(alignments_that_are_none) {
  test_resource upstream;
  concurrent_pool_resource pool{{}, &upstream};
  int wrong = 0;
  const auto try_all = [&] {
    const auto before = state_of(pool, upstream);
    for (std::size_t alignment : {0uz, 3uz, 12uz, 24uz, 100uz, SIZE_MAX})
      for (std::size_t bytes : {0uz, 1uz, 64uz, 100'000uz, 2'000'000uz, SIZE_MAX})
        wrong += !throws<std::invalid_argument>([&] { (void)pool.allocate(bytes, alignment); });
    wrong += state_of(pool, upstream) != before;
  };
  try_all();
  pool.deallocate(pool.allocate(64), 64);  // now there are lists, and blocks in them
  try_all();
  on_thread(try_all);
  BOOST_TEST(wrong == 0);
}

// --- the ends --------------------------------------------------------------------------------------------------------

// The pool that others were using may be locked for ever in the child; all else works there, pools included.
BOOST_AUTO_TEST_CASE(a_process_forks_while_other_threads_allocate) {
  if (!children_may_start_threads) return;
  concurrent_pool_resource pool, of_this_thread;
  std::atomic<bool> done = false;
  std::vector<std::thread> running;
  for (int i = 0; i < 2; ++i)
    running.emplace_back([&, i] {
      std::mt19937_64 random(static_cast<unsigned>(i));
      while (!done)
        for (int k = 0; k < 50; ++k) open_parcel(pool, make_any_parcel(pool, random));
    });
  const parcel kept = make_parcel(of_this_thread, 100, 8, 7);
  int failed = 0;
  for (int i = 0; i < 30 / (less == 1 ? 1 : 3); ++i) {
    const child ended = run_in_child([&] {
      alarm(20);
      open_parcel(of_this_thread, kept);
      require(of_this_thread.used() == 0);
      concurrent_pool_resource own;
      std::vector<parcel> made;
      for (std::size_t bytes = 1; bytes < 100'000; bytes *= 3) made.push_back(make_parcel(own, bytes, 8, bytes));
      on_thread([&] {
        for (const parcel& each : made) open_parcel(own, each);
        open_parcel(of_this_thread, make_parcel(of_this_thread, 200, 8, 8));
      });
      require(own.used() == 0);
    });
    failed += !ended.survived();
  }
  done = true;
  for (std::thread& thread : running) thread.join();
  open_parcel(of_this_thread, kept);
  BOOST_TEST(failed == 0);
}

BOOST_AUTO_TEST_CASE(thread_local_containers_free_into_a_static_pool) {
  static test_resource upstream;
  static concurrent_pool_resource pool{{}, &upstream};
  for (int round = 0; round < 20; ++round)
    on_threads(3, [&](int) {
      thread_local std::pmr::list<std::pmr::string> before_first_use(&pool);
      thread_local std::pmr::vector<std::pmr::string> words(&pool);
      for (int i = 0; i < 100; ++i) {
        words.emplace_back("a word that is too long for the string object itself");
        before_first_use.emplace_back("another word that is too long for the string object itself");
      }
    });
  BOOST_TEST(pool.used() == 0u);
  BOOST_TEST(pool.stats().live == 0u);
  (void)pool.trim(0);
  BOOST_TEST(pool.capacity() == 0u);
  BOOST_TEST(upstream.first_mistake() == "");
}

BOOST_AUTO_TEST_SUITE_END()

// --- mistakes --------------------------------------------------------------------------------------------------------

namespace {
const auto only_hardened = [](boost::unit_test::test_unit_id) {
  return boost::test_tools::assertion_result(hardened && children_may_start_threads);
};
}  // namespace

BOOST_AUTO_TEST_SUITE(concurrent_pools_hardened, *boost::unit_test::precondition(only_hardened))

BOOST_AUTO_TEST_CASE(freed_twice_on_two_threads) {
  for (const std::size_t bytes : {1uz, 64uz, 5000uz, 100'000uz, 2'000'000uz}) {
    const child dead = run_in_child([&] {
      concurrent_pool_resource pool;
      void* const block = pool.allocate(bytes);
      on_thread([&] { pool.deallocate(block, bytes); });
      pool.deallocate(block, bytes);
    });
    if (bytes <= 16 * 1024)
      BOOST_TEST(dead.aborted("deallocate: the block was given back before"), dead);
    else  // the thread has ended, and the block's pages are free
      BOOST_TEST(dead.aborted("deallocate: the block is not from this pool"), dead);
  }
}

BOOST_AUTO_TEST_CASE(freed_twice_by_threads_that_live_on) {
  const child dead = run_in_child([] {
    concurrent_pool_resource pool;
    void* const block = pool.allocate(64);
    std::latch freed(1);
    std::thread other([&] {
      pool.deallocate(block, 64);
      freed.count_down();
      std::this_thread::sleep_for(std::chrono::seconds(5));
    });
    freed.wait();
    pool.deallocate(block, 64);
    other.join();
  });
  BOOST_TEST(dead.aborted("deallocate: the block was given back before"), dead);
}

BOOST_AUTO_TEST_CASE(oversize_block_freed_twice) {
  const child dead = run_in_child([] {
    concurrent_pool_resource pool;
    void* const block = pool.allocate(64, 8192);
    on_thread([&] { pool.deallocate(block, 64, 8192); });
    pool.deallocate(block, 64, 8192);
  });
  BOOST_TEST(dead.aborted("deallocate: the block is not from this pool"), dead);
}

BOOST_AUTO_TEST_CASE(freed_with_another_size) {
  struct {
    std::size_t bytes, as;
  } const mistakes[] = {{64, 100}, {64, 63}, {64, 0}, {5000, 5001}, {100'000, 1}, {2'000'000, 2'000'001}};
  for (const auto [bytes, as] : mistakes) {
    const child dead = run_in_child([&] {
      concurrent_pool_resource pool;
      void* const block = pool.allocate(bytes);
      on_thread([&] { pool.deallocate(block, as); });
    });
    BOOST_TEST(dead.aborted("deallocate: the size or alignment is not the one"), dead);
  }
}

BOOST_AUTO_TEST_CASE(foreign_block) {
  const child dead = run_in_child([] {
    concurrent_pool_resource pool, other;
    (void)pool.allocate(64);
    void* const block = other.allocate(64);
    on_thread([&] { pool.deallocate(block, 64); });
  });
  BOOST_TEST(dead.aborted("deallocate: the block is not from this pool"), dead);
}

BOOST_AUTO_TEST_CASE(pointer_into_a_block) {
  const child dead = run_in_child([] {
    concurrent_pool_resource pool;
    auto* const block = static_cast<std::byte*>(pool.allocate(64));
    on_thread([&] { pool.deallocate(block + 16, 64); });
  });
  BOOST_TEST(dead.aborted("deallocate: the block is not from this pool"), dead);
}

BOOST_AUTO_TEST_CASE(container_that_outlives_a_release) {
  const child dead = run_in_child([] {
    concurrent_pool_resource pool;
    std::pmr::vector<int> numbers({1, 2, 3}, &pool);
    pool.release();
  });
  BOOST_TEST(dead.aborted("deallocate: the block is not from this pool"), dead);
}

BOOST_AUTO_TEST_SUITE_END()
