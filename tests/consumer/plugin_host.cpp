// Unloads the plugin that is its argument while a thread lives that has used it.
#include <dlfcn.h>

#include <cstdio>
#include <future>
#include <thread>

int main(int, char** arguments) {
  for (int round = 0; round < 3; ++round) {
    void* const plugin = dlopen(arguments[1], RTLD_NOW | RTLD_LOCAL);
    if (plugin == nullptr) return std::puts(dlerror()), 1;
    const auto sum = reinterpret_cast<int (*)()>(dlsym(plugin, "sum_in_plugin"));
    std::promise<int> result;
    std::promise<void> unloaded;
    std::thread user([&] {
      result.set_value(sum());
      unloaded.get_future().wait();
    });
    const int tens = result.get_future().get();
    dlclose(plugin);
    unloaded.set_value();
    user.join();
    if (tens != 10) return std::puts("not so: the plugin computes 10"), 1;
  }
}
