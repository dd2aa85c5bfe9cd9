// How fast are the arenas? Tight allocation, a scope around a small computation, the edges of slabs, many slabs, and
// standard containers, each against the peers that this machine has.
//
//     benchmarks/run bump
#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <memory_resource>
#include <numeric>
#include <random>
#include <span>
#include <string>
#include <vector>

#include "containers.h"
#include "driver.h"
#include "peers.h"

#ifdef BENCH_BOOST_CONTAINER
#include <boost/container/pmr/monotonic_buffer_resource.hpp>
#endif
#ifdef BENCH_FOONATHAN
#include <foonathan/memory/memory_stack.hpp>
#endif
import buffers;

namespace {

const bench::mimalloc_functions mi;

struct request {
  std::uint32_t bytes, alignment;
};

std::vector<request> requests(std::size_t count, std::uint32_t least, std::uint32_t most) {
  std::mt19937 random{7};
  std::vector<request> made(count);
  for (request& r : made)
    r = {least + static_cast<std::uint32_t>(random()) % (most - least + 1), random() % 2 == 0 ? 8u : 16u};
  return made;
}

// Does nothing: what a call through memory_resource* costs by itself.
class no_work final : public std::pmr::memory_resource {
  [[gnu::aligned(64)]] void* do_allocate(std::size_t, std::size_t) override { return this; }
  void do_deallocate(void*, std::size_t, std::size_t) override {}
  bool do_is_equal(const std::pmr::memory_resource& other) const noexcept override { return this == &other; }
};

// --- W1: many small blocks, then all back ----------------------------------------------------------------------------

constexpr std::size_t repeats = 200;

template <class Take, class Reset>
std::function<void()> tight(const std::vector<request>& asked, Take take, Reset reset) {
  return [&asked, take, reset] {
    for (std::size_t i = 0; i < repeats; ++i) {
      for (const request r : asked) bench::use(take(r));
      reset();
    }
  };
}

void tight_allocation(const char* question, const std::vector<request>& asked) {
  std::vector<std::byte> memory(1 << 20);
  std::fill(memory.begin(), memory.end(), std::byte{1});
  bench::comparison contest(question, repeats * asked.size());

  buffers::bump_resource bump{1 << 20};
  buffers::slab_resource slab;
  std::pmr::memory_resource* bump_virtual = &bump;
  std::pmr::memory_resource* slab_virtual = &slab;
  std::pmr::monotonic_buffer_resource monotonic{memory.data(), memory.size()};
  std::pmr::memory_resource* monotonic_virtual = &monotonic;
  no_work nothing;
  std::pmr::memory_resource* nothing_virtual = &nothing;
  asm volatile("" : "+r"(bump_virtual), "+r"(slab_virtual), "+r"(monotonic_virtual), "+r"(nothing_virtual));
  contest.ours("(the call through memory_resource* alone)",
               tight(asked, [=](request r) { return nothing_virtual->allocate(r.bytes, r.alignment); }, [] {}));
  contest.ours("bump_resource",
               tight(asked, [&](request r) { return bump.allocate(r.bytes, r.alignment); }, [&] { bump.reset(); }));
  contest.ours("slab_resource",
               tight(asked, [&](request r) { return slab.allocate(r.bytes, r.alignment); }, [&] { slab.reset(); }));
  contest.ours(
      "bump_resource through memory_resource*",
      tight(asked, [=](request r) { return bump_virtual->allocate(r.bytes, r.alignment); }, [&] { bump.reset(); }));
  contest.ours(
      "slab_resource through memory_resource*",
      tight(asked, [=](request r) { return slab_virtual->allocate(r.bytes, r.alignment); }, [&] { slab.reset(); }));

  contest.peer("std::pmr::monotonic_buffer_resource",
               tight(
                   asked, [=](request r) { return monotonic_virtual->allocate(r.bytes, r.alignment); },
                   [&] { monotonic.release(); }));
#ifdef BENCH_BOOST_CONTAINER
  std::vector<std::byte> boost_memory(1 << 20);
  auto boost =
      std::make_unique<boost::container::pmr::monotonic_buffer_resource>(boost_memory.data(), boost_memory.size());
  contest.peer(
      "Boost.Container monotonic_buffer_resource",
      tight(asked, [&](request r) { return boost->allocate(r.bytes, r.alignment); }, [&] { boost->release(); }));
#endif
#ifdef BENCH_FOONATHAN
  foonathan::memory::memory_stack<> stack{1 << 20};
  const auto bottom = stack.top();
  contest.peer(
      "foonathan memory_stack",
      tight(asked, [&](request r) { return stack.allocate(r.bytes, r.alignment); }, [&] { stack.unwind(bottom); }));
#endif
  std::vector<void*> blocks(asked.size());
  std::size_t count = 0;
  contest.peer("new/delete", tight(
                                 asked, [&](request r) { return blocks[count++] = ::operator new(r.bytes); },
                                 [&] {
                                   while (count != 0) ::operator delete(blocks[--count]);
                                 }));
  if (mi)
    contest.peer("mimalloc", tight(
                                 asked, [&](request r) { return blocks[count++] = mi.malloc(r.bytes); },
                                 [&] {
                                   while (count != 0) mi.free(blocks[--count]);
                                 }));
  contest.measure();
  const double best = contest.best_peer();
  const double standard = contest.of("std::pmr::monotonic_buffer_resource");
  contest.target("slab_resource / best peer", contest.of("slab_resource") / best, 0.80);
  contest.target("bump_resource / best peer", contest.of("bump_resource") / best, 0.75);
  contest.target("slab_resource through memory_resource* / std monotonic",
                 contest.of("slab_resource through memory_resource*") / standard, 0.70);
  contest.target("bump_resource through memory_resource* / std monotonic",
                 contest.of("bump_resource through memory_resource*") / standard, 0.70);
}

// --- W2: Bumper.jl's headline: y = x + 1 in scratch memory, sum(y) ---------------------------------------------------

using numbers = std::span<const std::int64_t>;

// One copy for all contestants: what differs between them is where y is.
[[gnu::noinline]] std::int64_t plus_one_sum(numbers x, std::int64_t* __restrict y) {
  for (std::size_t i = 0; i < x.size(); ++i) y[i] = x[i] + 1;
  bench::use(y);
  return std::accumulate(y, y + x.size(), std::int64_t{0});
}

template <class Body>
std::function<void()> called_often(Body body, numbers x) {
  return [body, x] {
    for (int i = 0; i < 20'000; ++i) bench::use(body(x));
  };
}

[[gnu::noinline]] std::int64_t in_slab(numbers x, buffers::slab_resource& buffer) {
  buffers::scope inner{buffer};
  return plus_one_sum(x, static_cast<std::int64_t*>(buffer.allocate(x.size_bytes(), alignof(std::int64_t))));
}
[[gnu::noinline]] std::int64_t in_slab_no_escape(numbers x, buffers::slab_resource& buffer) {
  return buffers::no_escape(
      buffer, [&](auto& b) { return plus_one_sum(x, buffers::alloc<std::int64_t>(b, x.size()).data_handle()); });
}
[[gnu::noinline]] std::int64_t in_bump(numbers x, buffers::bump_resource& buffer) {
  buffers::scope inner{buffer};
  return plus_one_sum(x, static_cast<std::int64_t*>(buffer.allocate(x.size_bytes(), alignof(std::int64_t))));
}
[[gnu::noinline]] std::int64_t in_default_buffer(numbers x) {
  return buffers::no_escape(
      [&](auto& b) { return plus_one_sum(x, buffers::alloc<std::int64_t>(b, x.size()).data_handle()); });
}
[[gnu::noinline]] std::int64_t on_stack(numbers x) {
  std::int64_t y[30];
  return plus_one_sum(x, y);
}
[[gnu::noinline]] std::int64_t on_heap(numbers x) {
  auto* const y = static_cast<std::int64_t*>(::operator new(x.size_bytes()));
  const std::int64_t sum = plus_one_sum(x, y);
  ::operator delete(y);
  return sum;
}
[[gnu::noinline]] std::int64_t in_vector(numbers x) {
  std::vector<std::int64_t> y(x.size());
  return plus_one_sum(x, y.data());
}
[[gnu::noinline]] std::int64_t in_monotonic(numbers x, std::pmr::monotonic_buffer_resource& buffer) {
  const std::int64_t sum =
      plus_one_sum(x, static_cast<std::int64_t*>(buffer.allocate(x.size_bytes(), alignof(std::int64_t))));
  buffer.release();
  return sum;
}

void scope_around_a_computation() {
  std::array<std::int64_t, 30> x;
  std::iota(x.begin(), x.end(), 1);
  bench::comparison contest("W2: 30 int64 in scratch memory, y = x + 1, sum(y); per call", 20'000, 61);

  buffers::slab_resource slab;
  buffers::bump_resource bump;
  contest.ours("slab_resource, scope", called_often([&](numbers v) { return in_slab(v, slab); }, x));
  contest.ours("slab_resource, no_escape and alloc",
               called_often([&](numbers v) { return in_slab_no_escape(v, slab); }, x));
  contest.ours("bump_resource, scope", called_often([&](numbers v) { return in_bump(v, bump); }, x));
  contest.ours("default_buffer()", called_often([&](numbers v) { return in_default_buffer(v); }, x));
  contest.ours("array on the stack", called_often([&](numbers v) { return on_stack(v); }, x));

  std::array<std::byte, 4096> memory;
  std::pmr::monotonic_buffer_resource monotonic{memory.data(), memory.size()};
  contest.peer("std::pmr::monotonic_buffer_resource",
               called_often([&](numbers v) { return in_monotonic(v, monotonic); }, x));
  contest.peer("new/delete", called_often([&](numbers v) { return on_heap(v); }, x));
  contest.peer("std::vector", called_often([&](numbers v) { return in_vector(v); }, x));
#ifdef BENCH_FOONATHAN
  foonathan::memory::memory_stack<> stack{1 << 16};
  contest.peer("foonathan memory_stack", called_often(
                                             [&](numbers v) {
                                               const auto before = stack.top();
                                               const std::int64_t sum = plus_one_sum(
                                                   v, static_cast<std::int64_t*>(stack.allocate(v.size() * 8, 8)));
                                               stack.unwind(before);
                                               return sum;
                                             },
                                             x));
#endif
  if (mi)
    contest.peer("mimalloc", called_often(
                                 [&](numbers v) {
                                   auto* const y = static_cast<std::int64_t*>(mi.malloc(v.size() * 8));
                                   const std::int64_t sum = plus_one_sum(v, y);
                                   mi.free(y);
                                   return sum;
                                 },
                                 x));
  contest.measure();
  const double heap = contest.of("new/delete"), stack_array = contest.of("array on the stack");
  const double ours = contest.of("slab_resource, no_escape and alloc");
  contest.target("slab_resource / new/delete", ours / heap, 0.60);
  contest.target("overhead over the stack array / that of new/delete",
                 std::max(ours - stack_array, 1e-3) / (heap - stack_array), 0.25);
  contest.target("default_buffer() / explicit slab_resource", contest.of("default_buffer()") / ours, 1.15);
}

// --- the edges of slabs ----------------------------------------------------------------------------------------------

void scope_at_an_edge() {
  constexpr std::size_t often = 20'000;
  bench::comparison contest("a scope with one block of 80 bytes, opened in the middle of a slab and at its edge",
                            often);
  const auto scopes = [](buffers::slab_resource& buffer) {
    return [&buffer] {
      for (std::size_t i = 0; i < often; ++i) {
        buffers::scope inner{buffer};
        bench::use(buffer.allocate(80, 8));
      }
    };
  };
  buffers::slab_resource middle{{.first_slab = 16384}}, edge{{.first_slab = 16384}};
  bench::use(middle.allocate(8000));
  bench::use(edge.allocate(16384 - 16));
  contest.ours("mid-slab", scopes(middle));
  contest.ours("at the edge", scopes(edge));
  contest.measure();
  contest.target("at the edge / mid-slab", contest.of("at the edge") / contest.of("mid-slab"), 1.20);
}

void many_blocks() {
  const std::vector<request> asked = requests(10'000, 1, 4000);
  bench::comparison contest("10 000 blocks of up to 4000 bytes, first and last byte touched, then all back; per block",
                            asked.size());
  const auto touch = [](void* block, std::size_t bytes) {
    static_cast<volatile char*>(block)[0] = 1;
    static_cast<volatile char*>(block)[bytes - 1] = 1;
  };
  buffers::slab_resource scoped, reset;
  contest.ours("slab_resource, scope", [&] {
    buffers::scope all{scoped};
    for (const request r : asked) touch(scoped.allocate(r.bytes, r.alignment), r.bytes);
  });
  contest.ours("slab_resource, reset", [&] {
    for (const request r : asked) touch(reset.allocate(r.bytes, r.alignment), r.bytes);
    reset.reset();
  });
  std::vector<void*> blocks(asked.size());
  contest.peer("new/delete", [&] {
    for (std::size_t i = 0; i < asked.size(); ++i) touch(blocks[i] = ::operator new(asked[i].bytes), asked[i].bytes);
    for (void* block : blocks) ::operator delete(block);
  });
  contest.peer("std::pmr::monotonic_buffer_resource", [&] {
    std::pmr::monotonic_buffer_resource monotonic;
    for (const request r : asked) touch(monotonic.allocate(r.bytes, r.alignment), r.bytes);
  });
  if (mi)
    contest.peer("mimalloc", [&] {
      for (std::size_t i = 0; i < asked.size(); ++i) touch(blocks[i] = mi.malloc(asked[i].bytes), asked[i].bytes);
      for (void* block : blocks) mi.free(block);
    });
  contest.measure();
  contest.target("slab_resource, scope / new/delete", contest.of("slab_resource, scope") / contest.of("new/delete"),
                 1.0 / 3);
  contest.target("slab_resource, reset / new/delete", contest.of("slab_resource, reset") / contest.of("new/delete"),
                 1.0 / 3);
}

void restore_after_many_slabs() {
  // Filling the slabs takes much longer than the restore, so each restore is timed alone. Going through 10 000 slabs
  // leaves nothing else in the caches; so that this is not taken for the restore's cost, memory of the same size is
  // read before each restore, whatever the number of slabs.
  constexpr std::size_t slab = 1024, most = 10'000;
  std::vector<std::byte> other(most * (slab + 128), std::byte{1});
  const auto median_restore = [&](std::size_t slabs, bool cold) {
    buffers::slab_resource buffer{{.first_slab = slab, .growth = 1, .largest_slab = slab}};
    bench::use(buffer.allocate(slab / 2, 8));
    std::vector<double> times;
    for (int round = 0; round < 301; ++round) {
      const auto before = buffer.checkpoint();
      for (std::size_t i = 0; i < slabs; ++i) bench::use(buffer.allocate(slab, 8));
      if (cold)
        for (std::size_t i = 0; i < other.size(); i += 64) bench::use(static_cast<int>(other[i]));
      timespec from, to;
      clock_gettime(CLOCK_MONOTONIC, &from);
      buffer.restore(before);
      clock_gettime(CLOCK_MONOTONIC, &to);
      times.push_back(static_cast<double>(to.tv_nsec - from.tv_nsec) +
                      1e9 * static_cast<double>(to.tv_sec - from.tv_sec));
    }
    std::ranges::sort(times);
    return times[times.size() / 2];
  };
  const double hot = median_restore(1, false), after_one = median_restore(1, true),
               after_many = median_restore(most, true);
  std::printf(
      "\nrestore, the clock's own time included\n"
      "    after 1 slab, caches warm      %8.0f ns\n"
      "    after 1 slab, caches cold      %8.0f ns\n"
      "    after 10 000 slabs             %8.0f ns\n",
      hot, after_one, after_many);
  bench::comparison("", 1).target("restore after 10 000 slabs / after one", after_many / after_one, 2.0);
}

// --- W5: containers of 100 000 elements ------------------------------------------------------------------------------

using namespace bench::containers;

template <void (*Build)(std::pmr::memory_resource*)>
void container(const char* name, double& against_growing, double& against_touched) {
  bench::comparison contest(
      std::string("W5: std::pmr::") + name + " of 100 000 elements, built and destroyed; per element", elements, 21);
  contest.ours_alone("slab_resource, reset", [] {
    buffers::slab_resource slab;
    return bench::timed([&] {
      Build(&slab);
      slab.reset();
    });
  });
  contest.peer_alone("std::pmr::monotonic_buffer_resource, growing", [] {
    return bench::timed([] {
      std::pmr::monotonic_buffer_resource growing;
      Build(&growing);
    });
  });
  contest.peer_alone("std::pmr::monotonic_buffer_resource over touched memory", [] {
    std::vector<std::byte> touched(64u << 20, std::byte{1});
    std::pmr::monotonic_buffer_resource over_touched{touched.data(), touched.size()};
    return bench::timed([&] {
      Build(&over_touched);
      over_touched.release();
    });
  });
  contest.peer_alone("new/delete", [] { return bench::timed([] { Build(std::pmr::new_delete_resource()); }); });
  contest.measure();
  const double ours = contest.of("slab_resource, reset");
  against_growing *= ours / contest.of("std::pmr::monotonic_buffer_resource, growing");
  against_touched *= ours / contest.of("std::pmr::monotonic_buffer_resource over touched memory");
}

void containers() {
  double against_growing = 1, against_touched = 1;
  container<build_unordered_map>("unordered_map", against_growing, against_touched);
  container<build_map>("map", against_growing, against_touched);
  container<build_list>("list", against_growing, against_touched);
  container<build_strings>("vector<string>", against_growing, against_touched);
  std::printf("\nW5: geometric means of the four\n");
  const bench::comparison means("", 1);
  means.target("slab_resource / growing monotonic", std::pow(against_growing, 0.25), 0.75);
  means.target("slab_resource / monotonic over touched memory", std::pow(against_touched, 0.25), 1.0);
}

}  // namespace

int main(int argc, char** argv) {
  bench::pin_to_one_processor();
  const bench::arguments arguments{argc, argv};
  arguments.ask("tight", [] {
    tight_allocation("W1: 1000 blocks of 8..256 bytes aligned to 8 or 16, then all back; per block",
                     requests(1000, 8, 256));
    tight_allocation("W1: 1000 blocks of 32 bytes, then all back; per block", requests(1000, 32, 32));
  });
  arguments.ask("scope", scope_around_a_computation);
  arguments.ask("edge", scope_at_an_edge);
  arguments.ask("many", many_blocks);
  arguments.ask("restore", restore_after_many_slabs);
  arguments.ask("containers", containers);
}
