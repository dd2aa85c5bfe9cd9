// One operation that is said to cost the same however much lies behind it, by its name and that amount: see run.
// Without arguments, prints the names.
#include <cstddef>
#include <cstdio>
#include <cstdlib>
#include <optional>
#include <string_view>
#include <vector>
import buffers;

namespace {

using buffers::bump_resource;
using buffers::pool_resource;
using buffers::slab_resource;

constexpr std::size_t block = 1000;

template <class R>
void fill(R& buffer, std::size_t blocks) {
  for (std::size_t i = 0; i < blocks; ++i) static_cast<char*>(buffer.allocate(block))[0] = 1;
}
// A slab for each block.
slab_resource many_slabs() { return slab_resource{{.first_slab = block, .growth = 1, .largest_slab = block}}; }

}  // namespace

// Callgrind counts in here only.
extern "C" [[gnu::noinline]] void measured(void (*operation)(void*), void* state) { operation(state); }

namespace {

template <class F>
void measure(F operation) {
  measured([](void* state) { (*static_cast<F*>(state))(); }, &operation);
}

template <class R>
void restore(R& buffer, std::size_t amount) {
  fill(buffer, 1);
  const auto before = buffer.checkpoint();
  fill(buffer, amount);
  measure([&] { buffer.restore(before); });
}
template <class R>
void close_scope(R& buffer, std::size_t amount) {
  fill(buffer, 1);
  std::optional<buffers::scope<R>> inner(std::in_place, buffer);
  fill(buffer, amount);
  measure([&] { inner.reset(); });
}
template <class R>
void reset(R& buffer, std::size_t amount) {
  fill(buffer, amount);
  measure([&] { buffer.reset(); });
}
template <class R>
void give_back_the_newest(R& buffer, std::size_t amount) {
  fill(buffer, amount);
  void* const newest = buffer.allocate(block);
  measure([&] { buffer.deallocate(newest, block); });
}

struct operation {
  std::string_view name;
  void (*run)(std::size_t amount);
};

constexpr operation operations[] = {
    {"slab.restore",
     [](std::size_t amount) {
       slab_resource buffer = many_slabs();
       restore(buffer, amount);
     }},
    {"slab.scope",
     [](std::size_t amount) {
       slab_resource buffer = many_slabs();
       close_scope(buffer, amount);
     }},
    {"slab.reset",
     [](std::size_t amount) {
       slab_resource buffer = many_slabs();
       reset(buffer, amount);
     }},
    {"slab.newest",
     [](std::size_t amount) {
       slab_resource buffer = many_slabs();
       give_back_the_newest(buffer, amount);
     }},
    {"bump.restore",
     [](std::size_t amount) {
       bump_resource buffer{(amount + 2) * 1024};
       restore(buffer, amount);
     }},
    {"bump.scope",
     [](std::size_t amount) {
       bump_resource buffer{(amount + 2) * 1024};
       close_scope(buffer, amount);
     }},
    {"bump.reset",
     [](std::size_t amount) {
       bump_resource buffer{(amount + 2) * 1024};
       reset(buffer, amount);
     }},
    {"bump.newest",
     [](std::size_t amount) {
       bump_resource buffer{(amount + 2) * 1024};
       give_back_the_newest(buffer, amount);
     }},
    {"pool.again",
     [](std::size_t amount) {
       pool_resource pool;
       fill(pool, amount);
       void* const one = pool.allocate(block);
       measure([&] {
         pool.deallocate(one, block);
         (void)pool.allocate(block);
       });
     }},
};

}  // namespace

int main(int argc, char** argv) {
  for (const operation& o : operations)
    if (argc < 3)
      std::puts(o.name.data());
    else if (o.name == argv[1])
      return o.run(static_cast<std::size_t>(std::atoi(argv[2]))), 0;
  return argc < 3 ? 0 : 2;
}
