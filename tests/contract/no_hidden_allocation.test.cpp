// Nothing is allocated behind the user's back: the global heap, the default resource and upstream are watched at once.
#include <unistd.h>

#include <array>
#include <atomic>
#include <boost/core/demangle.hpp>
#include <boost/mpl/list.hpp>
#include <boost/test/data/test_case.hpp>
#include <boost/test/unit_test.hpp>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <memory_resource>
#include <new>
#include <ostream>
#include <random>
#include <span>
#include <stdexcept>
#include <string>
#include <tuple>
#include <type_traits>
#include <typeinfo>
#include <utility>
#include <vector>
import buffers;
import buffers.testing;
#include "contract/table.hpp"

namespace {

std::size_t global_allocations = 0;
bool the_heap_refuses = false;

void* from_the_heap(std::size_t bytes, std::size_t alignment) {
  ++global_allocations;
  if (the_heap_refuses) throw std::bad_alloc();
  void* const block = std::aligned_alloc(alignment, (bytes + alignment - 1) / alignment * alignment);
  if (block == nullptr) throw std::bad_alloc();
  return block;
}

}  // namespace

void* operator new(std::size_t bytes) { return from_the_heap(bytes, alignof(std::max_align_t)); }
void* operator new(std::size_t bytes, std::align_val_t alignment) {
  return from_the_heap(bytes, static_cast<std::size_t>(alignment));
}
// Every form that the program uses: AddressSanitizer's own do not call the ones above.
void* operator new(std::size_t bytes, std::align_val_t alignment, const std::nothrow_t&) noexcept try {
  return from_the_heap(bytes, static_cast<std::size_t>(alignment));
} catch (const std::bad_alloc&) {
  return nullptr;
}
void operator delete(void* block) noexcept { std::free(block); }
void operator delete(void* block, std::size_t) noexcept { std::free(block); }
void operator delete(void* block, std::align_val_t) noexcept { std::free(block); }
void operator delete(void* block, std::size_t, std::align_val_t) noexcept { std::free(block); }

namespace {

/// An upstream that does not use operator new, and fails when it is told to.
struct counting_upstream : std::pmr::memory_resource {
  std::size_t live = 0, bytes_live = 0;
  std::size_t allowed = SIZE_MAX;  // allocations, before the one that fails

 private:
  void* do_allocate(std::size_t bytes, std::size_t alignment) override {
    if (allowed == 0 || bytes > PTRDIFF_MAX) throw std::bad_alloc();
    if (allowed != SIZE_MAX) --allowed;
    void* const block = std::aligned_alloc(alignment, (bytes + alignment - 1) / alignment * alignment);
    if (block == nullptr) throw std::bad_alloc();
    ++live;
    bytes_live += bytes;
    return block;
  }
  void do_deallocate(void* block, std::size_t bytes, std::size_t) override {
    --live;
    bytes_live -= bytes;
    std::free(block);
  }
  bool do_is_equal(const memory_resource& other) const noexcept override { return this == &other; }
};

/// Does something with a resource again and again, with the first, the second, ... allocation upstream failing, until
/// it works. Every failure has to leave `state_of()` as it was; the default resource and the heap are asked for
/// nothing, and would refuse.
class injection {
 public:
  explicit injection(counting_upstream& own) : own_(own), replaced_(&by_default_) {
    by_default_.set_allocation_limit(0);
  }

  void operator()(auto&& state_of, auto&& operation) {
    for (std::size_t allowed = 0;; ++allowed) {
      if (allowed == 1000) throw std::logic_error("the operation fails with any number of allocations");
      const auto before = state_of();
      const std::size_t heap_before = global_allocations;
      own_.allowed = allowed;
      the_heap_refuses = true;
      bool failed = false;
      try {
        operation();
      } catch (const std::bad_alloc&) {
        failed = true;
      }
      the_heap_refuses = false;
      own_.allowed = SIZE_MAX;
      hidden_ += global_allocations - heap_before;
      if (!failed) return;
      ++failures_;
      changed_ += state_of() != before;
    }
  }

  void check() const {
    BOOST_TEST(changed_ == 0u);
    BOOST_TEST(hidden_ == 0u);
    BOOST_TEST(by_default_.allocations() + by_default_.refusals() == 0u);
  }
  std::size_t failures() const { return failures_; }

 private:
  counting_upstream& own_;
  buffers::test_resource by_default_;
  buffers::default_resource_guard replaced_;
  std::size_t failures_ = 0, changed_ = 0, hidden_ = 0;
};

}  // namespace

BOOST_AUTO_TEST_SUITE(no_hidden_allocation)

BOOST_AUTO_TEST_CASE(the_global_heap_is_watched) {
  const std::size_t before = global_allocations;
  ::operator delete(::operator new(10));
  // cppcheck-suppress leakNoVarFunctionCall ; as above
  ::operator delete(::operator new(10, std::align_val_t{64}), std::align_val_t{64});
  BOOST_TEST(global_allocations == before + 2);
}

BOOST_AUTO_TEST_CASE_TEMPLATE(in_a_whole_life_of_an_arena, K, arenas) {
  counting_upstream own;
  buffers::test_resource by_default;
  std::size_t failures = 0;
  const std::size_t before = global_allocations;
  {
    buffers::default_resource_guard replaced(&by_default);
    typename K::kind of(64 * 1024, &own);
    auto& resource = of.resource;
    auto& face = K::face(of);
    for (int round = 0; round < 3; ++round) {
      for (std::size_t bytes = 1; bytes < 3000; bytes = bytes * 2 + 1) (void)face.allocate(bytes, 32);
      void* const large = face.allocate(20'000, 64);
      face.deallocate(large, 20'000, 64);
      const auto cp = resource.checkpoint();
      {
        buffers::scope inner{resource};
        std::pmr::vector<int> numbers(100, 7, &resource);
        const auto a = buffers::alloc<double>(resource, 10, 10);
        const auto b = buffers::alloc<double>(resource, 10);
        buffers::drop(resource, a, b);
      }
      try {
        (void)face.allocate(SIZE_MAX / 4);
      } catch (const std::bad_alloc&) {
        ++failures;
      }
      resource.restore(cp);
      (void)resource.trim(0);
      resource.reset();
      (void)resource.trim(0);
      if (round == 1) resource.release();
    }
  }
  const std::size_t hidden = global_allocations - before;
  BOOST_TEST(hidden == 0u);
  BOOST_TEST(failures == 3u);
  BOOST_TEST(by_default.allocations() == 0u);
  BOOST_TEST(own.live == 0u);
}

BOOST_DATA_TEST_CASE(in_a_whole_life, boost::unit_test::data::make(table()), e) {
  counting_upstream own;
  buffers::test_resource by_default;
  std::size_t failures = 0;
  const std::size_t before = global_allocations;
  {
    buffers::default_resource_guard replaced(&by_default);
    const auto of = e.make(64 * 1024, &own);
    const auto allocate = [&](std::size_t bytes, std::size_t alignment) {
      return e.through_base ? of->base().allocate(bytes, alignment) : of->allocate(bytes, alignment);
    };
    struct {
      void* block;
      std::size_t bytes;
    } live[100];
    std::size_t count = 0;
    for (int round = 0; round < 3; ++round) {
      for (std::size_t bytes = 1; bytes < 3000; bytes = bytes * 2 + 1) live[count++] = {allocate(bytes, 32), bytes};
      live[count++] = {allocate(20'000, 64), 20'000};
      {
        std::pmr::vector<int> numbers(100, 7, &of->base());
      }
      try {
        (void)allocate(SIZE_MAX / 4, 8);
      } catch (const std::bad_alloc&) {
        ++failures;
      }
      for (; count != 0; --count) {
        const auto [block, bytes] = live[count - 1];
        of->deallocate(block, bytes, bytes == 20'000 ? 64 : 32);
      }
    }
  }
  const std::size_t hidden = global_allocations - before;
  BOOST_TEST(hidden == 1u);  // the subject of the test itself
  BOOST_TEST(failures == 3u);
  BOOST_TEST(by_default.allocations() == 0u);
  BOOST_TEST(own.live == 0u);
}

// Every operation that may go upstream, with each of its allocations failing in its turn.

BOOST_AUTO_TEST_CASE_TEMPLATE(each_operation_of_an_arena_fails_cleanly, K, arenas) {
  counting_upstream own;
  {
    injection inject(own);
    typename K::kind of(std::size_t{1} << 20, &own);  // never full
    auto& resource = of.resource;
    auto& face = K::face(of);
    const auto state_of = [&] {
      return std::array{resource.used(), resource.peak(), resource.capacity(), own.live, own.bytes_live};
    };
    for (int round = 0; round < 2; ++round) {
      for (std::size_t bytes : {1uz, 100uz, 1000uz, 20'000uz})
        for (std::size_t alignment : {1uz, 64uz, 4096uz})
          inject(state_of, [&] { (void)face.allocate(bytes, alignment); });
      resource.reset();
      inject(state_of, [&] { (void)face.allocate(100); });  // one slab for all of the last round
      inject(state_of, [&] { (void)buffers::alloc<double>(resource, 10, 100); });
      inject(state_of, [&] { (void)buffers::alloc<char>(resource, buffers::alignment{1024}, 5000); });
      inject(state_of, [&] {
        const auto cp = resource.checkpoint();
        try {
          buffers::scope inner{resource};
          (void)face.allocate(20'000);
        } catch (...) {
          resource.restore(cp);
          throw;
        }
        resource.restore(cp);
      });
      inject(state_of, [&] { buffers::no_escape(resource, [&](auto& buffer) { (void)buffer.allocate(10'000); }); });
      inject(state_of, [&] {
        const std::pmr::vector<int> numbers(1000, 7, &resource);
        if (numbers[999] != 7) throw std::logic_error("contents");
      });
      resource.reset();
      inject(state_of, [&] { (void)buffers::reshape_buffer<double>(resource, 100, 10); });
      inject(state_of, [&] { (void)buffers::reshape_buffer<double>(resource, 60, 100); });
      inject(state_of, [&] { resource.reset(); });
      inject(state_of, [&] { (void)resource.trim(0); });
      inject(state_of, [&] { (void)face.allocate(1); });
      inject(state_of, [&] { resource.release(); });
      inject(state_of, [&] { (void)face.allocate(1); });
    }
    inject.check();
    constexpr bool has_all = std::is_same_v<typename K::kind, bump_over_storage> ||
                             std::is_same_v<typename K::kind, slab_fixed_over_storage>;
    BOOST_TEST((inject.failures() == 0) == has_all);
  }
  BOOST_TEST(own.live == 0u);
}

BOOST_AUTO_TEST_CASE(each_operation_of_a_pool_fails_cleanly) {
  counting_upstream own;
  {
    injection inject(own);
    buffers::pool_resource pool{{.largest_chunk = 64 * 1024, .spare = 0}, &own};
    // What is free may have moved, or gone upstream, for the sake of a request that then failed.
    const auto state_of = [&] {
      const buffers::pool_stats stats = pool.stats();
      return std::array{pool.used(), pool.peak(), stats.live, stats.hits, stats.misses, stats.oversize};
    };
    std::span<std::byte> blocks[400];
    std::size_t count = 0;
    for (int round = 0; round < 2; ++round) {
      for (std::size_t bytes : {1uz, 100uz, 1000uz, 20'000uz, 300'000uz, 3'000'000uz, 200uz << 20})
        for (std::size_t alignment : {1uz, 64uz, 4096uz, 8192uz}) {
          inject(state_of, [&] { (void)pool.allocate(bytes, alignment); });
          inject(state_of, [&] { blocks[count] = pool.get(bytes, alignment); });
          ++count;
          inject(state_of, [&] { (void)pool.try_get(0, alignment); });
        }
      for (int i = 0; i < 100; ++i) inject(state_of, [&] { (void)pool.allocate(3000); });
      while (count != 0) inject(state_of, [&] { pool.put(blocks[--count]); });
      inject(state_of, [&] { (void)pool.trim(0); });
      inject(state_of, [&] { round == 0 ? pool.clear() : pool.release(); });
    }
    inject.check();
    BOOST_TEST(inject.failures() > 50u);
  }
  BOOST_TEST(own.live == 0u);
}

BOOST_DATA_TEST_CASE(each_request_fails_cleanly, boost::unit_test::data::make(table()), e) {
  counting_upstream own;
  {
    const auto of = e.make(std::size_t{1} << 20, &own);
    struct request {
      std::size_t bytes, alignment;
      void* block;
    } requests[] = {{1, 1, nullptr},     {100, 16, nullptr},   {100, 64, nullptr},    {1000, 8, nullptr},
                    {5000, 16, nullptr}, {100, 4096, nullptr}, {100, 8192, nullptr},  {20'000, 16, nullptr},
                    {30, 16, nullptr},   {64, 64, nullptr},    {70'000, 64, nullptr}, {2000, 16, nullptr}};
    injection inject(own);
    // Not all counters: what is free in a pool may have gone upstream for the sake of a request that then failed.
    // And where the second resource of a fallback is a slab_resource, it keeps the slab that it got for a block whose
    // note in the fallback's table then failed: the block itself is given back.
    const bool keeps = e.name.contains("fallback_to<slab");
    const auto state_of = [&] { return keeps ? of->counters().back() : own.live + own.bytes_live; };
    for (int round = 0; round < 2; ++round) {
      for (request& r : requests)
        inject(state_of, [&] {
          r.block = e.through_base ? of->base().allocate(r.bytes, r.alignment) : of->allocate(r.bytes, r.alignment);
        });
      for (const request& r : requests) inject(state_of, [&] { of->deallocate(r.block, r.bytes, r.alignment); });
    }
    inject.check();
  }
  BOOST_TEST(own.live == 0u);
}

// Where it fails, the operands and the target are as they were; what an operation needs comes from the target's
// resource, or from the one that it is told.
BOOST_AUTO_TEST_CASE(each_operation_of_a_tensor_fails_cleanly) {
  using buffers::all, buffers::axes, buffers::keepdims, buffers::range, buffers::tensor;
  counting_upstream own;
  const temporary_file file;
  {
    const tensor<double, 2> a({{1, 2}, {3, 4}}, &own), b({{5, 6}, {7, 8}}, &own);
    const tensor<double, 1> row({-1, 1}, &own);
    tensor<double, 2> target({{9, 9, 9}}, &own), square({{1, 2}, {3, 4}}, &own);
    const auto values = [](const auto& t) {
      double sum = 0, weight = 1;
      for (const double value : t) sum += value * (weight *= 10);
      return std::tuple(t.shape(), sum);
    };
    const auto state_of = [&] {
      return std::tuple(own.live, own.bytes_live, values(a), values(b), values(row), values(target), values(square));
    };
    injection inject(own);
    const auto made = [&](auto&& make) { inject(state_of, [&] { (void)make(); }); };
    made([&] { return tensor<double, 2>({2, 3}, &own); });
    made([&] { return tensor<float, 2>({{1, 2}, {3, 4}}, &own); });
    made([&] { return tensor<double, 2>(a, &own); });
    made([&] { return tensor<float, 2>(a, &own); });
    made([&] { return a.copy(&own); });
    made([&] { return tensor<double, 2>(a * b + row, &own); });
    made([&] { return tensor<double, 1>(sum(a * b, axes<0>), &own); });
    made([&] { return tensor<double, 2>(exp(a - max(a, axes<1>, keepdims)), &own); });
    made([&] { return tensor<double, 2>(concatenate<0>(a, b), &own); });
    made([&] { return tensor<double, 2>(tril(transpose(a)), &own); });
    made([&] { return tensor<double, 1>(reshape(a, {4}), &own); });
    made([&] { return buffers::zeros<float>({3, 4}, &own); });
    made([&] { return buffers::ones<int>({3, 4}, &own); });
    made([&] { return buffers::full<double>({3, 4}, 7, &own); });
    made([&] { return buffers::empty<double>({3, 4}, &own); });
    made([&] { return buffers::arange<int>(0, 10, 3, &own); });
    made([&] { return buffers::uniform<float>({3, 4}, std::minstd_rand(1), &own); });
    made([&] { return buffers::normal<double>({3, 4}, std::minstd_rand(1), &own); });
    made([&] { return buffers::uniform<float>({3, 4}, &own); });
    inject(state_of, [&] { target = a; });
    inject(state_of, [&] { target = concatenate<1>(a, b); });
    inject(state_of, [&] { target = a - sum(b, axes<0>); });
    inject(state_of, [&] { target = concatenate<1>(transpose(a), target); });
    inject(state_of, [&] { target = tensor<float, 2>({{1, 2, 3}}, &own); });
    inject(state_of, [&] { square = transpose(square); });
    inject(state_of, [&] { square += transpose(square); });
    inject(state_of, [&] { square[range{0, 1}, all] = square[range{1, 2}, all]; });
    inject(state_of, [&] { square[all, 0] = sum(square, axes<1>); });
    inject(state_of, [&] { square -= mean(square, axes<0>, keepdims); });
    inject(state_of, [&] {
      std::pmr::vector<tensor<double, 2>> many(&own);
      many.emplace_back(a);
      many.push_back(b);
      many.resize(5);
    });
    save_npy(file.c_str(), a);
    made([&] { return buffers::load_npy<double, 2>(file.c_str(), &own); });
    inject.check();
    BOOST_TEST(inject.failures() > 30u);
  }
  BOOST_TEST(own.live == 0u);
}

BOOST_AUTO_TEST_CASE(an_exhausted_is_made_without_allocating) {
  alignas(64) std::byte memory[64];
  buffers::bump_resource buffer{std::span(memory)};
  const std::size_t before = global_allocations;
  std::size_t requested = 0;
  try {
    (void)buffer.allocate(65);
  } catch (const buffers::exhausted& full) {
    requested = full.requested();
  }
  BOOST_TEST(global_allocations - before == 0u);
  BOOST_TEST(requested == 65u);
}

BOOST_AUTO_TEST_SUITE_END()
