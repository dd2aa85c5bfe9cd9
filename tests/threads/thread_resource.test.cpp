#include <tbb/global_control.h>
#include <tbb/parallel_for.h>
#include <tbb/task_arena.h>
#include <tbb/task_group.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <boost/test/unit_test.hpp>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <functional>
#include <latch>
#include <limits>
#include <list>
#include <mdspan>
#include <memory>
#include <memory_resource>
#include <mutex>
#include <new>
#include <optional>
#include <semaphore>
#include <set>
#include <span>
#include <stdexcept>
#include <string_view>
#include <thread>
#include <vector>

#include "support/child.hpp"
#include "support/require.hpp"
import buffers;
import buffers.testing;

using namespace std::chrono_literals;
using buffers::alloc;
using buffers::bump_resource;
using buffers::exhausted;
using buffers::order_error;
using buffers::scope;
using buffers::slab_resource;
using buffers::thread_options;
using buffers::thread_resource;

namespace {

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

/// A thread that does what it is told, and is otherwise there.
class worker {
 public:
  worker() : thread_([this] { run(); }) {}
  ~worker() {
    todo_ = [] {};
    last_ = true;
    step();
    thread_.join();
  }
  template <class F>
  void operator()(F f) {
    todo_ = f;
    step();
  }

 private:
  void step() {
    begin_.release();
    end_.acquire();
  }
  void run() {
    for (bool last = false; !last;) {
      begin_.acquire();
      todo_();
      last = last_;
      end_.release();
    }
  }
  std::function<void()> todo_;
  bool last_ = false;
  std::binary_semaphore begin_{0}, end_{0};
  std::thread thread_;
};

template <class Error, class F>
bool throws(F f) {
  try {
    f();
  } catch (const Error&) {
    return true;
  }
  return false;
}

template <class F>
bool within(std::chrono::milliseconds from, std::chrono::milliseconds to, F f) {
  const auto start = std::chrono::steady_clock::now();
  f();
  const auto passed = std::chrono::steady_clock::now() - start;
  return passed >= from && passed <= to;
}

/// The least that a buffer can be: it counts what is in use.
struct plain_resource : std::pmr::memory_resource {
  explicit plain_resource(int) {}
  std::size_t checkpoint() const { return used_; }
  void restore(std::size_t before) { used_ = before; }
  void reset() { used_ = 0; }
  std::size_t used() const { return used_; }

 private:
  void* do_allocate(std::size_t bytes, std::size_t) override { return used_ += bytes, memory_; }
  void do_deallocate(void*, std::size_t bytes, std::size_t) override { used_ -= bytes; }
  bool do_is_equal(const memory_resource& other) const noexcept override { return this == &other; }

  alignas(std::max_align_t) std::byte memory_[64];
  std::size_t used_ = 0;
};

/// As many threads for tasks, on a machine with fewer processors as well.
struct four_threads {
  tbb::global_control limit{tbb::global_control::max_allowed_parallelism, 4};
};

}  // namespace

BOOST_AUTO_TEST_SUITE(thread_resources)

// --- a buffer for each thread ----------------------------------------------------------------------------------------

BOOST_AUTO_TEST_CASE(one_buffer_in_one_thread) {
  thread_resource<> t;
  BOOST_TEST(t.size() == 0u);
  slab_resource* const mine = &t.local();
  BOOST_TEST(&t.local() == mine);
  BOOST_TEST(t.size() == 1u);
}

BOOST_AUTO_TEST_CASE(another_buffer_in_each_thread) {
  thread_resource<> t;
  constexpr std::size_t threads = 4;
  std::latch all_here(threads);
  std::array<slab_resource*, threads> found;
  std::vector<std::thread> running;
  for (std::size_t i = 0; i < threads; ++i)
    running.emplace_back([&, i] {
      found[i] = &t.local();
      all_here.arrive_and_wait();
    });
  for (std::thread& thread : running) thread.join();
  BOOST_TEST((std::set(found.begin(), found.end()).size()) == threads);
  BOOST_TEST(t.size() == threads);
}

BOOST_AUTO_TEST_CASE(allocating_on_a_thread_touches_no_other) {
  thread_resource<> t;
  (void)t.allocate(100);
  slab_resource& mine = t.local();
  worker other;
  slab_resource* its = nullptr;
  void* block = nullptr;
  other([&] { its = &t.local(), block = t.allocate(1000); });
  BOOST_TEST(mine.used() == 100u);
  BOOST_TEST(its->used() == 1000u);
  BOOST_TEST(its->owns(block));
  BOOST_TEST(!mine.owns(block));
  BOOST_TEST(t.used() == 1100u);
}

BOOST_AUTO_TEST_CASE(what_works_on_a_buffer_works_on_it) {
  thread_resource<> t;
  const auto a = alloc<double>(t, 10, 20);
  BOOST_TEST(a.size() == 200u);
  BOOST_TEST(t.local().used() == 1600u);
  {
    scope inner{t};
    const auto b = alloc<float>(t, buffers::alignment{64}, 100);
    BOOST_TEST(b.size() == 100u);
    BOOST_TEST(t.local().used() > 1600u);
  }
  BOOST_TEST(t.local().used() == 1600u);
  const auto cp = t.checkpoint();
  (void)buffers::alloc_bytes(t, 100);
  t.restore(cp);
  BOOST_TEST(t.local().used() == 1600u);
  buffers::drop(t, a);
  BOOST_TEST(t.local().used() == 0u);
  BOOST_CHECK_THROW(buffers::drop(t, a), std::invalid_argument);
  BOOST_TEST(buffers::reshape_buffer<int>(t, 10, 10).size() == 100u);
  BOOST_CHECK_THROW((void)t.allocate(1), order_error);
  t.reset();
  BOOST_TEST(buffers::no_escape(t, [](auto& buffer) { return alloc<int>(buffer, 3).size(); }) == 3u);
  std::pmr::list<int> numbers({1, 2, 3}, &t);
  BOOST_TEST(numbers.back() == 3);
  std::vector<int, buffers::allocator<int, thread_resource<>>> typed({1, 2, 3},
                                                                     buffers::allocator<int, thread_resource<>>(t));
  BOOST_TEST(typed.back() == 3);
}

BOOST_AUTO_TEST_CASE(is_equal_to_itself) {
  thread_resource<> t, other;
  BOOST_TEST((t == t));
  BOOST_TEST((t != other));
}

BOOST_AUTO_TEST_CASE(of_all_buffers) {
  thread_resource<bump_resource> t{{.make = [] { return std::make_unique<bump_resource>(1024); }}};
  (void)t.allocate(100);
  worker other;
  other([&] { (void)t.allocate(200); });
  BOOST_TEST(t.used() == 300u);
  BOOST_TEST(t.capacity() == 2048u);
  other([&] { t.reset(); });
  BOOST_TEST(t.used() == 100u);
  BOOST_TEST(t.peak() == 300u);
  t.reset_peak();
  BOOST_TEST(t.peak() == 100u);
}

BOOST_AUTO_TEST_CASE(many_resources_in_one_thread) {
  std::vector<std::unique_ptr<thread_resource<>>> all;
  for (int i = 0; i < 40; ++i) all.push_back(std::make_unique<thread_resource<>>());
  std::size_t bytes = 1;
  for (const auto& t : all) (void)t->allocate(bytes++);
  bytes = 1;
  for (const auto& t : all) BOOST_TEST(t->local().used() == bytes++);
}

BOOST_AUTO_TEST_CASE(a_new_resource_where_an_old_one_was) {
  std::optional<thread_resource<>> t(std::in_place);
  worker other;
  std::size_t used = 1;
  (void)t->allocate(100);
  other([&] { (void)t->allocate(100); });
  t.emplace();
  other([&] { used = t->local().used(); });
  BOOST_TEST(used == 0u);
  BOOST_TEST(t->local().used() == 0u);
  BOOST_TEST(t->size() == 2u);
}

BOOST_AUTO_TEST_CASE(the_contract) {
  buffers::test_resource upstream;
  {
    thread_resource<> slabs{
        {.make = [&] { return std::make_unique<slab_resource>(buffers::slab_options{}, &upstream); }}};
    thread_resource<bump_resource> bumps{{.make = [&] { return std::make_unique<bump_resource>(1 << 20, &upstream); }}};
    for (std::pmr::memory_resource* t :
         {static_cast<std::pmr::memory_resource*>(&slabs), static_cast<std::pmr::memory_resource*>(&bumps)}) {
      const auto used = [&] { return slabs.used() + bumps.used(); };
      std::size_t before = used();
      for (std::size_t alignment = 1; alignment <= std::size_t{1} << 30; alignment *= 2) {
        void* const nothing = t->allocate(0, alignment);
        BOOST_TEST(nothing != nullptr);
        BOOST_TEST(reinterpret_cast<std::uintptr_t>(nothing) % alignment == 0u);
        t->deallocate(nothing, 0, alignment);
      }
      BOOST_TEST(used() == before);
      for (std::size_t alignment = 1; alignment <= 4096; alignment *= 2)
        BOOST_TEST(reinterpret_cast<std::uintptr_t>(t->allocate(100, alignment)) % alignment == 0u);
      before = used();
      for (std::size_t alignment : {0uz, 3uz, 48uz, SIZE_MAX})
        BOOST_CHECK_THROW((void)t->allocate(100, alignment), std::invalid_argument);
      for (std::size_t bytes : {SIZE_MAX, SIZE_MAX - 15, SIZE_MAX / 2})
        BOOST_CHECK_THROW((void)t->allocate(bytes), std::bad_alloc);
      BOOST_CHECK_THROW((void)std::pmr::polymorphic_allocator<double>(t).allocate(SIZE_MAX / 8 + 1),
                        std::bad_array_new_length);
      upstream.set_allocation_limit(0);
      BOOST_CHECK_THROW((void)t->allocate(10'000'000), std::bad_alloc);
      upstream.set_allocation_limit(-1);
      BOOST_TEST(used() == before);
    }
  }
  BOOST_TEST(upstream.is_clean());
}

// --- blocks freed elsewhere ------------------------------------------------------------------------------------------

BOOST_AUTO_TEST_CASE(the_newest_block_is_given_back_by_its_thread) {
  thread_resource<> t{
      {.make = [] { return std::make_unique<slab_resource>(buffers::slab_options{.first_slab = 1024}); }}};
  void* const first = t.allocate(100);
  t.deallocate(first, 100);
  BOOST_TEST(t.local().used() == 0u);
  BOOST_TEST(t.allocate(100) == first);
  void* const large = t.allocate(100'000);
  t.deallocate(large, 100'000);
  BOOST_TEST(t.local().used() == 100u);
  t.deallocate(nullptr, 100);
  t.deallocate(nullptr, 0);
  BOOST_TEST(t.local().used() == 100u);
}

BOOST_AUTO_TEST_CASE(a_block_of_an_older_slab_is_left_to_the_end) {
  thread_resource<> t{{.make = [] {
    return std::make_unique<slab_resource>(buffers::slab_options{.first_slab = 64, .growth = 1, .largest_slab = 64});
  }}};
  std::array<void*, 10> blocks;
  for (void*& block : blocks) block = t.allocate(48);
  const std::size_t used = t.used();
  for (std::size_t i = 0; i < 9; ++i) t.deallocate(blocks[i], 48);
  BOOST_TEST(t.used() == used);
  t.deallocate(blocks[9], 48);
  BOOST_TEST(t.used() < used);
}

BOOST_AUTO_TEST_CASE(a_block_freed_on_another_thread_changes_no_buffer) {
  thread_resource<> t;
  std::pmr::memory_resource& face = t;
  void* const small = face.allocate(100);
  void* const large = face.allocate(1'000'000);
  worker with_a_buffer, without;
  void *its_small = nullptr, *its_large = nullptr;
  with_a_buffer([&] { its_small = face.allocate(100), its_large = face.allocate(1'000'000); });
  const std::size_t used = t.used();
  for (worker* w : {&with_a_buffer, &without})
    (*w)([&] { face.deallocate(large, 1'000'000), face.deallocate(small, 100); });
  face.deallocate(its_large, 1'000'000);
  face.deallocate(its_small, 100);
  BOOST_TEST(t.used() == used);
  BOOST_TEST(t.size() == 2u);
  with_a_buffer([&] { face.deallocate(its_large, 1'000'000), face.deallocate(its_small, 100); });
  BOOST_TEST(t.used() == 1'000'100u);
}

BOOST_AUTO_TEST_CASE(buffers_that_lie_side_by_side) {
  alignas(64) std::array<std::byte, 2048> storage;
  int made = 0;
  thread_resource<bump_resource> t{{.make = [&] {
    return std::make_unique<bump_resource>(std::span(storage).subspan(made++ == 0 ? 0 : 1024, 1024));
  }}};
  void* const all = t.allocate(1024);
  worker neighbour;
  std::size_t used = 1;
  void* block = nullptr;
  neighbour([&] {
    (void)t.local();
    t.deallocate(all, 1024);  // it ends right before this thread's empty buffer
    used = t.local().used();
    block = t.allocate(1024);
  });
  BOOST_TEST(used == 0u);
  BOOST_TEST(block == storage.data() + 1024);
}

BOOST_AUTO_TEST_CASE(containers_travel) {
  thread_resource<> t;
  std::pmr::vector<int> numbers(&t);
  on_thread([&] {
    for (int i = 0; i < 1000; ++i) numbers.push_back(i);
  });
  BOOST_TEST(numbers.size() == 1000u);  // the thread has ended: the block is there until another one gets the buffer
  BOOST_TEST(numbers.back() == 999);
  numbers.clear();
  numbers.shrink_to_fit();
  BOOST_TEST(t.size() == 1u);
}

// --- threads that end ------------------------------------------------------------------------------------------------

BOOST_AUTO_TEST_CASE(the_buffer_of_a_thread_that_ended_is_for_the_next) {
  int made = 0;
  thread_resource<bump_resource> t{{.make = [&] { return ++made, std::make_unique<bump_resource>(1000); }}};
  for (int i = 0; i < 200; ++i) on_thread([&] { (void)t.allocate(900); });
  BOOST_TEST(made == 1);
  BOOST_TEST(t.size() == 1u);
  BOOST_TEST(t.used() == 900u);
  BOOST_TEST(t.local().used() == 0u);
  BOOST_TEST(made == 1);
}

BOOST_AUTO_TEST_CASE(many_short_threads) {
  thread_resource<> t;
  std::size_t after_some = 0;
  for (int round = 0; round < 300; ++round) {
    std::vector<std::thread> running;
    for (int i = 0; i < 4; ++i)
      running.emplace_back([&t, round] {
        for (std::size_t k = 0; k < 20; ++k) (void)alloc<double>(t, 50 + k);
        if (round % 3 == 0) t.reset();
      });
    for (std::thread& thread : running) thread.join();
    if (round == 30) after_some = t.capacity();
  }
  BOOST_TEST(t.size() <= 4u);
  BOOST_TEST(t.capacity() <= 4 * after_some);
}

BOOST_AUTO_TEST_CASE(a_buffer_that_is_empty_goes_before_one_that_was_left) {
  thread_resource<> t;
  std::pmr::vector<int> left(&t);
  slab_resource* given = nullptr;
  on_thread([&] {
    (void)t.local();
    worker other;
    other([&] { given = &t.local(), t.release(); });
    left.assign({1, 2, 3});
  });
  BOOST_TEST(t.size() == 2u);
  BOOST_TEST(&t.local() == given);
  BOOST_TEST(left[2] == 3);
}

BOOST_AUTO_TEST_CASE(thread_local_variables_use_it_in_their_destructors) {
  thread_resource<> t;
  int sum = 0;
  struct numbers {
    std::pmr::vector<int> of;
    int& sum;
    ~numbers() {
      of.push_back(4);
      for (int i : of) sum += i;
    }
  };
  on_thread([&] {
    thread_local std::optional<numbers> last;
    last.emplace(std::pmr::vector<int>({1, 2, 3}, &t), sum);
  });
  BOOST_TEST(sum == 10);
  BOOST_TEST(t.size() == 1u);
}

BOOST_AUTO_TEST_CASE(a_thread_outlives_the_resource) {
  std::optional<thread_resource<>> t(std::in_place);
  worker other;
  other([&] { (void)t->allocate(100); });
  t.reset();
}

// --- giving back -----------------------------------------------------------------------------------------------------

BOOST_AUTO_TEST_CASE(a_reshaped_buffer_is_not_empty) {
  thread_resource<> t;
  const auto numbers = buffers::reshape_buffer<double>(t, 100);
  numbers[0] = 5;
  BOOST_CHECK_THROW(t.release(), order_error);
  on_thread([&] { BOOST_TEST(static_cast<void*>(alloc<double>(t, 10).data_handle()) != numbers.data_handle()); });
  BOOST_TEST(numbers[0] == 5);
  t.reset();
  t.release();
}

BOOST_AUTO_TEST_CASE(release_is_for_an_empty_buffer) {
  thread_resource<> t;
  slab_resource* const mine = &t.local();
  void* const block = t.allocate(100);
  BOOST_CHECK_THROW(t.release(), order_error);
  BOOST_TEST(&t.local() == mine);
  BOOST_TEST(t.used() == 100u);
  t.deallocate(block, 100);
  t.release();
  worker other;
  slab_resource* its = nullptr;
  other([&] { its = &t.local(); });
  BOOST_TEST(its == mine);
  BOOST_TEST(&t.local() != mine);
}

BOOST_AUTO_TEST_CASE(reset_empties_and_gives_back) {
  thread_resource<> t;
  slab_resource* const mine = &t.local();
  (void)t.allocate(100);
  t.reset();
  BOOST_TEST(t.used() == 0u);
  worker other;
  slab_resource* its = nullptr;
  other([&] { its = &t.local(); });
  BOOST_TEST(its == mine);
}

BOOST_AUTO_TEST_CASE(nothing_to_give_back) {
  thread_resource<> t{{.max_buffers = 1, .wait = 0ms}};
  worker other;
  other([&] { (void)t.allocate(1); });  // a call that took a buffer would throw
  t.release();
  t.reset();
  t.deallocate(&t, 8);
  BOOST_CHECK_THROW(t.restore(slab_resource().checkpoint()), order_error);
  BOOST_TEST(t.size() == 1u);
  BOOST_TEST(t.used() == 1u);
}

BOOST_AUTO_TEST_CASE(not_while_it_is_held) {
  thread_resource<> t;
  {
    scope inner{t};
    (void)t.allocate(100);
    BOOST_CHECK_THROW(t.reset(), order_error);
    BOOST_CHECK_THROW(t.release(), order_error);
    BOOST_TEST(t.used() == 100u);
  }
  {
    scope inner{t.local()};
    BOOST_CHECK_THROW(t.reset(), order_error);
    BOOST_CHECK_THROW(t.release(), order_error);
  }
  {
    const auto held = t.lease();
    BOOST_CHECK_THROW(t.reset(), order_error);
    BOOST_CHECK_THROW(t.release(), order_error);
    BOOST_CHECK_THROW(t.repair(), order_error);
    BOOST_TEST(&t.local() == &*held);
  }
  t.release();
}

BOOST_AUTO_TEST_CASE(a_checkpoint_is_for_its_thread) {
  thread_resource<> t;
  const auto cp = t.checkpoint();
  worker other;
  bool refused = false, refused_without_a_buffer = false;
  other([&] { refused_without_a_buffer = throws<order_error>([&] { t.restore(cp); }); });
  other([&] {
    (void)t.local();
    refused = throws<order_error>([&] { t.restore(cp); });
  });
  BOOST_TEST(refused);
  BOOST_TEST(refused_without_a_buffer);
}

// --- a maximum -------------------------------------------------------------------------------------------------------

BOOST_AUTO_TEST_CASE(waiting_in_vain) {
  thread_resource<> t{{.max_buffers = 1, .wait = 30ms}};
  (void)t.allocate(100);
  worker other;
  bool in_time = false, threw = false, says_why = false;
  std::size_t requested = 0;
  other([&] {
    in_time = within(30ms, 5000ms, [&] {
      try {
        (void)t.allocate(500);
      } catch (const exhausted& e) {
        threw = true;
        requested = e.requested();
        const std::string_view what = e.what();
        says_why = what.contains("500 bytes requested, 0 available, capacity 0") && what.contains("all 1 buffers");
      }
    });
  });
  BOOST_TEST(threw);
  BOOST_TEST(in_time);
  BOOST_TEST(requested == 500u);
  BOOST_TEST(says_why);
  BOOST_TEST(t.size() == 1u);
  t.reset();
  bool got = false;
  other([&] { got = t.allocate(1) != nullptr; });
  BOOST_TEST(got);
}

BOOST_AUTO_TEST_CASE(not_waiting_at_all) {
  thread_resource<> t{{.max_buffers = 1, .wait = std::chrono::seconds(0)}};
  (void)t.local();
  worker other;
  bool threw = false;
  other([&] { threw = throws<std::bad_alloc>([&] { (void)t.local(); }); });
  BOOST_TEST(threw);
}

BOOST_AUTO_TEST_CASE(a_buffer_goes_to_the_thread_that_has_waited_longest) {
  thread_resource<> t{{.max_buffers = 1}};
  (void)t.local();
  std::mutex guard;
  std::vector<int> order;
  std::vector<std::thread> waiting;
  for (int i = 0; i < 4; ++i) {
    waiting.emplace_back([&, i] {
      (void)t.local();
      {
        const std::lock_guard lock(guard);
        order.push_back(i);
      }
      if (i % 2 == 0) t.release();  // else by the end of the thread
    });
    std::this_thread::sleep_for(30ms);
  }
  t.release();
  for (std::thread& thread : waiting) thread.join();
  BOOST_TEST((order == std::vector{0, 1, 2, 3}));
  BOOST_TEST(t.size() == 1u);
}

BOOST_AUTO_TEST_CASE(more_tasks_and_threads_than_buffers) {
  thread_resource<bump_resource> t{
      {.make = [] { return std::make_unique<bump_resource>(8000); }, .max_buffers = 2, .wait = 60s}};
  std::atomic<int> done = 0;
  std::vector<std::thread> running;
  for (int i = 0; i < 8; ++i)
    running.emplace_back([&] {
      for (int round = 0; round < 50; ++round) {
        const auto a = alloc<double>(t, 1000);
        a[0] = a[999] = round;
        std::this_thread::yield();
        if (a[0] + a[999] == 2 * round) ++done;
        t.reset();
      }
    });
  for (std::thread& thread : running) thread.join();
  BOOST_TEST(done == 400);
  BOOST_TEST(t.size() <= 2u);

  const four_threads allowed;
  tbb::task_arena arena(4);
  std::atomic<int> tasks = 0;
  arena.execute([&] {
    tbb::parallel_for(
        0, 200,
        [&](int i) {
          const auto held = t.lease();
          alloc<int>(*held, 2000)[1999] = i;
          ++tasks;
        },
        tbb::simple_partitioner());
  });
  BOOST_TEST(tasks == 200);
  BOOST_TEST(t.size() <= 2u);
  BOOST_TEST(t.used() == 0u);
}

// --- tasks -----------------------------------------------------------------------------------------------------------

BOOST_AUTO_TEST_CASE(a_lease_gives_back) {
  thread_resource<> t{{.max_buffers = 1, .wait = 0ms}};
  {
    const auto held = t.lease();
    (void)held->allocate(100);
    (void)t.allocate(100);
    BOOST_TEST(held.resource().used() > 199u);
  }
  BOOST_TEST(t.used() == 0u);
  worker other;
  bool got = false;
  other([&] { got = t.lease()->allocate(1) != nullptr; });
  BOOST_TEST(got);
  BOOST_TEST(t.lease()->used() == 0u);
}

BOOST_AUTO_TEST_CASE(a_thread_keeps_its_buffer_where_there_is_no_maximum) {
  thread_resource<> t;
  slab_resource* const mine = &*t.lease();
  {
    scope inner{t};
  }
  worker other;
  slab_resource* its = nullptr;
  other([&] {
    scope inner{t};
    its = &t.local();
  });
  BOOST_TEST(its != mine);
  BOOST_TEST(&t.local() == mine);
}

BOOST_AUTO_TEST_CASE(a_scope_keeps_the_buffer) {
  thread_resource<> t{{.max_buffers = 1, .wait = 0ms}};
  {
    scope inner{t};
  }
  worker other;
  bool free = true;
  other([&] { free = !throws<exhausted>([&] { (void)t.local(); }); });
  BOOST_TEST(!free);
}

BOOST_AUTO_TEST_CASE(the_next_lease_runs_in_one_slab) {
  buffers::test_resource upstream;
  thread_resource<> t{{.make =
                           [&] {
                             const buffers::slab_options small{.first_slab = 64, .growth = 1, .largest_slab = 64};
                             return std::make_unique<slab_resource>(small, &upstream);
                           },
                       .max_buffers = 1}};
  for (int i = 0; i < 2; ++i) {
    const auto held = t.lease();
    for (int k = 0; k < 10; ++k) (void)held->allocate(48);
    BOOST_TEST((upstream.live_blocks() == 1) == (i == 1));
  }
}

BOOST_AUTO_TEST_CASE(a_lease_in_a_lease) {
  thread_resource<> t{{.max_buffers = 1, .wait = 0ms}};
  const auto outer = t.lease();
  const auto a = alloc<int>(*outer, 100);
  std::ranges::fill(std::span(a.data_handle(), 100), 7);
  {
    const auto inner = t.lease();
    BOOST_TEST(&*inner == &*outer);
    const auto b = alloc<int>(*inner, 1000);
    std::ranges::fill(std::span(b.data_handle(), 1000), 8);
    scope innermost{t};
    (void)t.allocate(100);
  }
  BOOST_TEST(outer->used() == 400u);
  BOOST_TEST(std::ranges::count(std::span(a.data_handle(), 100), 7) == 100);
  bool free = true;
  worker other;
  other([&] { free = !throws<exhausted>([&] { (void)t.local(); }); });
  BOOST_TEST(!free);
}

BOOST_AUTO_TEST_CASE(a_lease_of_a_buffer_that_the_thread_has) {
  thread_resource<> t{{.max_buffers = 1, .wait = 0ms}};
  const auto a = alloc<int>(t, 100);
  a[99] = 7;
  {
    const auto held = t.lease();
    (void)held->allocate(100);
  }
  BOOST_TEST(t.used() == 400u);
  BOOST_TEST(a[99] == 7);
  t.reset();
}

BOOST_AUTO_TEST_CASE(leases_that_end_in_the_order_of_their_beginning) {
  if (hardened) return;  // it takes the scope that ends out of order for a mistake
  thread_resource<> t{{.max_buffers = 1, .wait = 0ms}};
  std::optional<thread_resource<>::lease_type> first, second;
  struct in_place {
    thread_resource<>& from;
    operator thread_resource<>::lease_type() const { return from.lease(); }
  };
  first.emplace(in_place{t});
  second.emplace(in_place{t});
  (void)t.allocate(100);
  first.reset();
  second.reset();
  BOOST_TEST(t.used() == 0u);
  worker other;
  bool got = false;
  other([&] { got = t.allocate(1) != nullptr; });
  BOOST_TEST(got);
}

BOOST_AUTO_TEST_CASE(with_a_buffer) {
  thread_resource<> t{{.max_buffers = 1, .wait = 0ms}};
  int outside = 1;
  BOOST_TEST(t.with_buffer([](slab_resource& buffer) { return alloc<int>(buffer, 10).size(); }) == 10u);
  BOOST_TEST(&t.with_buffer([&](auto&) -> int& { return outside; }) == &outside);
  t.with_buffer([&] { (void)t.allocate(10); });
  BOOST_CHECK_THROW(t.with_buffer([](auto& buffer) {
    (void)buffer.allocate(100);
    throw std::runtime_error("inside");
  }),
                    std::runtime_error);
  BOOST_TEST(t.used() == 0u);
  worker other;
  bool got = false;
  other([&] { got = t.with_buffer([](auto& buffer) { return buffer.allocate(1) != nullptr; }); });
  BOOST_TEST(got);
}

BOOST_AUTO_TEST_CASE(with_a_buffer_inside_of_another) {
  thread_resource<> t;
  const int sum = t.with_buffer([&](slab_resource& outer) {
    const auto a = alloc<int>(outer, 100);
    std::ranges::fill(std::span(a.data_handle(), 100), 1);
    t.with_buffer([&](slab_resource& inner) {
      BOOST_TEST(&inner == &outer);
      std::ranges::fill(std::span(alloc<int>(inner, 10'000).data_handle(), 10'000), 5);
    });
    (void)throws<int>([&] { t.with_buffer([](slab_resource&) { throw 1; }); });
    int total = 0;
    for (std::size_t i = 0; i < 100; ++i) total += a[i];
    return total;
  });
  BOOST_TEST(sum == 100);
  BOOST_TEST(t.used() == 0u);
}

BOOST_AUTO_TEST_CASE(a_task_that_runs_while_another_one_waits) {
  // Tasks that wait for parts of theirs, which other threads have taken, run other tasks and parts meanwhile.
  const four_threads allowed;
  tbb::task_arena arena(4);
  for (const std::size_t max_buffers : {0uz, 4uz}) {
    thread_resource<> t{{.max_buffers = max_buffers, .wait = 60s}};
    std::atomic<int> wrong = 0, nested = 0;
    for (int round = 0; round < 100 && (nested == 0 || round < 3); ++round)
      arena.execute([&] {
        tbb::parallel_for(
            0, 40,
            [&](int task) {
              static thread_local int depth = 0;
              const auto held = t.lease();
              if (depth++ > 0) ++nested;
              const auto a = alloc<int>(*held, 200);
              for (std::size_t i = 0; i < 200; ++i) a[i] = task;
              tbb::parallel_for(
                  0, 8,
                  [&](int part) {
                    const auto own = t.lease();
                    const auto b = alloc<int>(t, 300);
                    for (std::size_t i = 0; i < 300; ++i) b[i] = part;
                    std::this_thread::sleep_for(std::chrono::microseconds(part % 4 * 20));
                    for (std::size_t i = 0; i < 300; ++i) wrong += b[i] != part;
                  },
                  tbb::simple_partitioner());
              for (std::size_t i = 0; i < 200; ++i) wrong += a[i] != task;
              --depth;
            },
            tbb::simple_partitioner());
      });
    BOOST_TEST(wrong == 0);
    BOOST_TEST(nested > 0);
    BOOST_TEST(t.used() == 0u);
    BOOST_TEST(t.size() <= 4u);
  }
}

BOOST_AUTO_TEST_CASE(scopes_of_tasks_are_nested_in_each_thread) {
  thread_resource<> t;
  const four_threads allowed;
  tbb::task_arena arena(4);
  std::atomic<int> wrong = 0;
  arena.execute([&] {
    tbb::parallel_for(
        0, 100,
        [&](int task) {
          scope outer{t};
          const std::size_t before = t.local().used();
          const auto a = alloc<int>(t, 100);
          a[0] = a[99] = task;
          tbb::parallel_for(
              0, 10,
              [&](int) {
                scope inner{t};
                const auto b = alloc<int>(t, 100);
                b[0] = b[99] = -1;
              },
              tbb::simple_partitioner());
          if (a[0] != task || a[99] != task || t.local().used() < before + 400) ++wrong;
        },
        tbb::simple_partitioner());
  });
  BOOST_TEST(wrong == 0);
  BOOST_TEST(t.used() == 0u);
}

BOOST_AUTO_TEST_CASE(an_exception_leaves_a_task) {
  thread_resource<> t{{.max_buffers = 4}};
  const four_threads allowed;
  tbb::task_arena arena(4);
  BOOST_CHECK_THROW(arena.execute([&] {
    tbb::parallel_for(
        0, 100,
        [&](int i) {
          t.with_buffer([&](slab_resource& buffer) {
            (void)buffer.allocate(1000);
            if (i % 10 == 5) throw std::runtime_error("in a task");
          });
        },
        tbb::simple_partitioner());
  }),
                    std::runtime_error);
  BOOST_TEST(t.used() == 0u);
  t.repair();
}

// --- repair ----------------------------------------------------------------------------------------------------------

BOOST_AUTO_TEST_CASE(repair_takes_back_what_tasks_kept) {
  thread_resource<> t{{.max_buffers = 2, .wait = 0ms}};
  worker one, other;
  slab_resource *of_one = nullptr, *of_other = nullptr;
  one([&] { (void)t.allocate(100), of_one = &t.local(); });
  other([&] { (void)t.allocate(100), of_other = &t.local(); });
  BOOST_TEST(of_one != of_other);
  BOOST_CHECK_THROW((void)t.local(), exhausted);
  t.repair();
  BOOST_TEST(t.used() == 0u);
  slab_resource* const mine = &t.local();
  BOOST_TEST((mine == of_one || mine == of_other));
  bool refused = false;
  one([&] { of_one = &t.local(); });
  other([&] { refused = throws<exhausted>([&] { (void)t.local(); }); });
  BOOST_TEST(of_one != mine);  // a buffer is never given to two threads
  BOOST_TEST(refused);
  for (int i = 0; i < 3; ++i) t.repair();
  std::set<slab_resource*> found{&t.local()};
  one([&] { found.insert(&t.local()); });
  BOOST_TEST(found.size() == 2u);
  BOOST_TEST(t.size() == 2u);
}

BOOST_AUTO_TEST_CASE(repair_while_a_thread_waits) {
  thread_resource<> t{{.max_buffers = 1}};
  slab_resource* const mine = &t.local();
  slab_resource* its = nullptr;
  std::thread waiting([&] { its = &t.local(), t.release(); });
  std::this_thread::sleep_for(50ms);
  t.repair();
  waiting.join();
  BOOST_TEST(its == mine);
}

// To a thread that was served and has not woken up yet: no other one gets it as well.
BOOST_AUTO_TEST_CASE(repair_leaves_a_buffer_that_is_on_its_way) {
  for (int round = 0; round < 50; ++round) {
    thread_resource<> t{{.max_buffers = 1, .wait = 10s}};
    (void)t.allocate(100);
    std::atomic<bool> is_repaired = false;
    std::atomic<int> holders = 0, most = 0;
    const auto hold = [&] {
      (void)t.local();
      while (!is_repaired) std::this_thread::yield();
      (void)t.local();  // the same, or another one, should it have been taken
      const int now = ++holders;
      if (now > most) most = now;
      std::this_thread::sleep_for(1ms);
      --holders;
      t.reset();
    };
    std::thread first(hold);
    std::this_thread::sleep_for(1ms);
    t.reset();
    t.repair();
    is_repaired = true;
    std::thread second(hold);
    first.join();
    second.join();
    BOOST_TEST(most == 1);
    BOOST_TEST(t.size() == 1u);
  }
}

struct slow_to_reset final : std::pmr::memory_resource {
  static inline std::atomic<bool> is_resetting = false;
  slab_resource memory;

  void reset() {
    is_resetting = true;
    std::this_thread::sleep_for(50ms);
    memory.reset();
  }
  std::size_t used() const noexcept { return memory.used(); }
  auto checkpoint() noexcept { return memory.checkpoint(); }
  void restore(const slab_resource::checkpoint_type& cp) { memory.restore(cp); }

 private:
  void* do_allocate(std::size_t bytes, std::size_t alignment) override { return memory.allocate(bytes, alignment); }
  void do_deallocate(void* block, std::size_t bytes, std::size_t alignment) override {
    memory.deallocate(block, bytes, alignment);
  }
  bool do_is_equal(const std::pmr::memory_resource& other) const noexcept override { return this == &other; }
};

// Its buffer was taken while the thread ended: it must not come back a second time.
BOOST_AUTO_TEST_CASE(repair_while_a_thread_ends) {
  thread_resource<slow_to_reset> t;
  std::atomic<bool> has_one = false;
  std::thread ends([&] {
    (void)t.local();
    has_one = true;
    while (!slow_to_reset::is_resetting) std::this_thread::yield();
  });
  while (!has_one) std::this_thread::yield();
  t.repair();
  ends.join();
  worker one, two;
  const void *first = nullptr, *second = nullptr;
  one([&] { first = &t.local(); });
  two([&] { second = &t.local(); });
  BOOST_TEST(first != second);
  BOOST_TEST(t.size() == 2u);
}

BOOST_AUTO_TEST_CASE(repair_leaves_a_held_buffer_where_it_is) {
  thread_resource<> t;
  worker other;
  other([&] { (void)t.allocate(100); });
  {
    const auto held = t.lease();
    (void)held->allocate(50);
    BOOST_CHECK_THROW(t.repair(), order_error);
    BOOST_TEST(t.used() == 50u);
    BOOST_TEST(&t.local() == &*held);
  }
  t.repair();
  BOOST_TEST(t.used() == 0u);
}

BOOST_AUTO_TEST_CASE(repair_of_what_threads_left) {
  thread_resource<> t;
  on_thread([&] { (void)t.allocate(100); });
  BOOST_TEST(t.used() == 100u);
  t.repair();
  BOOST_TEST(t.used() == 0u);
  BOOST_TEST(t.local().used() == 0u);
  BOOST_TEST(t.size() == 1u);
}

// In a scope that nobody ends.
void leave_inside_a_scope(slab_resource& buffer, std::byte (&memory)[sizeof(scope<slab_resource>)]) {
  const auto* const never_ended = ::new (&memory) scope<slab_resource>(buffer);
  (void)never_ended->resource().allocate(100);
}

BOOST_AUTO_TEST_CASE(repair_of_what_a_thread_left_inside_a_scope) {
  if (hardened) return;  // ends the program over a buffer that is destroyed with an open scope
  thread_resource<> t{{.max_buffers = 1, .wait = 0ms}};
  alignas(scope<slab_resource>) static std::byte memory[3][sizeof(scope<slab_resource>)];
  on_thread([&] { leave_inside_a_scope(t.local(), memory[0]); });
  t.repair();  // before another thread comes
  BOOST_TEST(t.used() == 0u);
  on_thread([&] { leave_inside_a_scope(t.local(), memory[1]); });
  bool refused = false;
  on_thread([&] { refused = throws<exhausted>([&] { (void)t.allocate(8); }); });
  BOOST_TEST(refused);
  t.repair();
  BOOST_TEST(t.size() == 0u);
  on_thread([&] { (void)t.allocate(8); });
  on_thread([&] { leave_inside_a_scope(t.local(), memory[2]); });
  on_thread([&] { refused = throws<exhausted>([&] { (void)t.local(); }); });
  t.repair();
  BOOST_TEST(t.local().used() == 0u);
  BOOST_TEST(t.size() == 1u);
}

// Another thread gets another one, as long as there may be more.
BOOST_AUTO_TEST_CASE(a_buffer_left_inside_a_scope_is_passed_over) {
  if (hardened) return;  // as there
  thread_resource<> t{{.max_buffers = 2, .wait = 0ms}};
  alignas(scope<slab_resource>) static std::byte memory[sizeof(scope<slab_resource>)];
  on_thread([&] { leave_inside_a_scope(t.local(), memory); });
  bool is_served = false, is_served_again = false;
  on_thread([&] { is_served = t.allocate(8) != nullptr; });
  on_thread([&] { is_served_again = t.allocate(8) != nullptr; });
  BOOST_TEST(is_served);
  BOOST_TEST(is_served_again);
  BOOST_TEST(t.size() == 2u);
  t.repair();
  BOOST_TEST(t.size() == 1u);
}

BOOST_AUTO_TEST_CASE(a_thread_waits_for_what_repair_gets_back) {
  if (hardened) return;  // as there
  thread_resource<> t{{.max_buffers = 1, .wait = 10s}};
  alignas(scope<slab_resource>) static std::byte memory[sizeof(scope<slab_resource>)];
  on_thread([&] { (void)(new (memory) scope{t.local()})->resource().allocate(100); });
  bool is_served = false;
  std::thread waiting([&] { is_served = t.allocate(8) != nullptr; });
  std::this_thread::sleep_for(50ms);
  t.repair();
  waiting.join();
  BOOST_TEST(is_served);
}

// --- making buffers --------------------------------------------------------------------------------------------------

BOOST_AUTO_TEST_CASE(times_to_wait) {
  using std::chrono::duration;
  const auto ms = [](auto time) { return thread_options<slab_resource>{.wait = time}.wait.ms(); };
  constexpr long long year = 1000LL * 60 * 60 * 24 * 365;
  BOOST_TEST(ms(std::chrono::hours::max()) == year);
  BOOST_TEST(ms(std::chrono::seconds::max()) == year);
  BOOST_TEST(ms(std::chrono::milliseconds::max()) == year);
  BOOST_TEST(ms(std::chrono::nanoseconds::max()) == year);
  BOOST_TEST(ms(duration<double>(1e30)) == year);
  BOOST_TEST(ms(duration<double>::max()) == year);
  BOOST_TEST(ms(duration<double>(std::numeric_limits<double>::infinity())) == year);
  BOOST_TEST(ms(0s) == 0);
  BOOST_TEST(ms(1ns) == 1);
  BOOST_TEST(ms(900us) == 1);
  BOOST_TEST(ms(1000us) == 1);
  BOOST_TEST(ms(1001us) == 2);
  BOOST_TEST(ms(duration<double>(0.3)) == 300);
  BOOST_TEST(ms(duration<float>(2.5f)) == 2500);
  BOOST_TEST(ms(10s) == 10'000);
  BOOST_TEST(ms(24h) == 86'400'000);
  BOOST_TEST(ms(-1ns) < 0);
  BOOST_TEST(ms(std::chrono::hours::min()) < 0);
  BOOST_TEST(ms(duration<double>(std::numeric_limits<double>::quiet_NaN())) < 0);
  BOOST_CHECK_THROW((thread_resource<>{{.wait = -1ns}}), std::invalid_argument);
}

BOOST_AUTO_TEST_CASE(what_is_refused_or_free_needs_no_buffer) {
  thread_resource<> t{{.max_buffers = 1, .wait = 0ms}};
  BOOST_CHECK_THROW((void)t.allocate(8, 3), std::invalid_argument);
  BOOST_CHECK_THROW((void)t.allocate(0, 0), std::invalid_argument);
  BOOST_TEST(t.allocate(0, 64) != nullptr);
  BOOST_TEST(t.size() == 0u);
  (void)t.allocate(100);
  bool refused = false, is_given = false;
  on_thread([&] {
    refused = throws<std::invalid_argument>([&] { (void)t.allocate(8, 3); });
    void* const none = t.allocate(0, 256);
    is_given = none != nullptr && reinterpret_cast<std::uintptr_t>(none) % 256 == 0;
    t.deallocate(none, 0, 256);
  });
  BOOST_TEST(refused);
  BOOST_TEST(is_given);
}

BOOST_AUTO_TEST_CASE(options_out_of_range) {
  BOOST_CHECK_EXCEPTION((thread_resource<>{{.wait = -1ms}}), std::invalid_argument,
                        [](const auto& e) { return std::string_view(e.what()).contains("thread_options::wait"); });
  BOOST_CHECK_EXCEPTION((thread_resource<plain_resource>{}), std::invalid_argument,
                        [](const auto& e) { return std::string_view(e.what()).contains("thread_options::make"); });
}

BOOST_AUTO_TEST_CASE(a_buffer_with_the_least_that_one_can_do) {
  thread_resource<plain_resource> t{{.make = [] { return std::make_unique<plain_resource>(1); }, .max_buffers = 1}};
  {
    const auto held = t.lease();
    void* const block = held->allocate(10);
    t.deallocate(block, 10);  // whose it is is not known
    BOOST_TEST(t.used() == 10u);
    BOOST_CHECK_THROW(t.release(), order_error);
    BOOST_CHECK_THROW(t.reset(), order_error);
    BOOST_CHECK_THROW(t.repair(), order_error);
    BOOST_TEST(t.used() == 10u);
    scope inner{t};
    (void)t.allocate(10);
  }
  BOOST_TEST(t.used() == 0u);
  BOOST_TEST(&t.local() == &t.local());
}

BOOST_AUTO_TEST_CASE(a_scope_holds_a_buffer_with_the_least_that_one_can_do) {
  thread_resource<plain_resource> t{{.make = [] { return std::make_unique<plain_resource>(1); }}};
  (void)t.allocate(10);
  {
    scope inner{t};
    (void)t.allocate(10);
    BOOST_CHECK_THROW(t.release(), order_error);
    BOOST_CHECK_THROW(t.reset(), order_error);
    BOOST_CHECK_THROW(t.repair(), order_error);
    BOOST_TEST(t.used() == 20u);
  }
  BOOST_TEST(t.used() == 10u);
  t.reset();
  BOOST_TEST(t.used() == 0u);
}

BOOST_AUTO_TEST_CASE(a_scope_that_cannot_be_opened_holds_nothing) {
  bool fails = false;
  using inner_resource = thread_resource<>;
  const auto make_inner = [&] {
    if (fails) throw std::runtime_error("make");
    return std::make_unique<slab_resource>();
  };
  thread_resource<inner_resource> t{{.make = [&] {
    return std::make_unique<inner_resource>(buffers::thread_options<slab_resource>{.make = make_inner});
  }}};
  (void)t.local();
  fails = true;
  BOOST_CHECK_THROW(scope inner{t}, std::runtime_error);
  t.reset();
  BOOST_TEST(t.used() == 0u);
}

BOOST_AUTO_TEST_CASE(an_array_of_no_elements_needs_no_buffer) {
  thread_resource<> t{{.max_buffers = 1, .wait = 0ms}};
  const auto held = t.lease();
  bool is_dropped = false;
  on_thread([&] {
    const auto a = buffers::alloc<double>(t, 0);
    buffers::drop(t, a);
    is_dropped = true;
  });
  BOOST_TEST(is_dropped);
}

BOOST_AUTO_TEST_CASE(make_must_not_ask_for_a_buffer) {
  thread_resource<>* asked = nullptr;
  thread_resource<> t{{.make = [&] {
    (void)asked->local();
    return std::make_unique<slab_resource>();
  }}};
  asked = &t;
  BOOST_CHECK_THROW((void)t.local(), order_error);
  BOOST_TEST(t.size() == 0u);
  thread_resource<> other;
  asked = &other;
  (void)t.local();
  BOOST_TEST(t.size() == 1u);
}

BOOST_AUTO_TEST_CASE(a_buffer_that_cannot_be_made) {
  bool fails = true;
  thread_resource<> t{{.make =
                           [&] {
                             if (fails) throw std::runtime_error("make");
                             return std::make_unique<slab_resource>();
                           },
                       .max_buffers = 1,
                       .wait = 0ms}};
  for (int i = 0; i < 3; ++i) BOOST_CHECK_THROW((void)t.local(), std::runtime_error);
  BOOST_TEST(t.size() == 0u);
  fails = false;
  BOOST_TEST(t.allocate(1) != nullptr);
  BOOST_TEST(t.size() == 1u);

  thread_resource<> none{{.make = [] { return std::unique_ptr<slab_resource>(); }}};
  BOOST_CHECK_THROW((void)none.local(), std::invalid_argument);
}

BOOST_AUTO_TEST_CASE(a_thread_that_waits_makes_the_buffer_that_another_could_not) {
  std::latch making(1);
  std::atomic<int> calls = 0;
  thread_resource<> t{{.make =
                           [&] {
                             if (calls++ == 0) {
                               making.count_down();
                               std::this_thread::sleep_for(50ms);
                               throw std::runtime_error("make");
                             }
                             return std::make_unique<slab_resource>();
                           },
                       .max_buffers = 1}};
  bool threw = false;
  std::thread failing([&] { threw = throws<std::runtime_error>([&] { (void)t.local(); }); });
  making.wait();
  BOOST_TEST(t.allocate(1) != nullptr);
  failing.join();
  BOOST_TEST(threw);
  BOOST_TEST(calls == 2);
}

BOOST_AUTO_TEST_CASE(make_is_called_by_one_thread_at_a_time) {
  std::atomic<int> inside = 0, most = 0;
  thread_resource<> t{{.make = [&] {
    most = std::max<int>(most, ++inside);
    std::this_thread::sleep_for(5ms);
    --inside;
    return std::make_unique<slab_resource>();
  }}};
  std::vector<std::thread> running;
  std::latch all_here(4);
  for (int i = 0; i < 4; ++i)
    running.emplace_back([&] {
      (void)t.local();
      all_here.arrive_and_wait();
    });
  for (std::thread& thread : running) thread.join();
  BOOST_TEST(most == 1);
  BOOST_TEST(t.size() == 4u);
}

BOOST_AUTO_TEST_CASE(what_make_holds_outlives_the_buffers) {
  const auto upstream = std::make_shared<buffers::test_resource>();
  {
    std::optional<thread_resource<>> t(std::in_place, thread_options<slab_resource>{.make = [upstream] {
                                         return std::make_unique<slab_resource>(buffers::slab_options{},
                                                                                upstream.get());
                                       }});
    (void)t->allocate(100);
    BOOST_TEST(upstream->live_blocks() == 1u);
    BOOST_TEST(upstream.use_count() == 2);
  }
  BOOST_TEST(upstream.use_count() == 1);
  BOOST_TEST(upstream->is_clean());
}

BOOST_AUTO_TEST_CASE(a_lease_that_ends_on_another_thread) {
  if constexpr (hardened && children_may_start_threads) {
    const child ended = run_in_child([] {
      thread_resource<> t;
      auto* const held = new auto(t.lease());
      std::thread([&] { delete held; }).join();
    });
    BOOST_TEST(ended.aborted("ends on another thread"), ended);
  }
}

BOOST_AUTO_TEST_SUITE_END()
