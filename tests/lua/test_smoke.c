#include "base/json.h"
#include "base/str.h"
#include "lua/sandbox.h"
#include "../tap.h"
int main(int argc,char**argv) {
    lua_box *b; spak_error e; json_t *o;
    spak_json_init();
    ok(lua_box_new(NULL, &b, &e), "new");
    for (int i=1;i<argc;i++){
      if(argv[i][0]=='@'){ bool g=lua_box_run_text(b,"t.lua",argv[i]+1,strlen(argv[i]+1),&e); printf("%s\n", g? luaL_tolstring(lua_box_state(b),-1,NULL):e.message); lua_settop(lua_box_state(b),0);}
      else if(lua_box_eval(b,argv[i],"x.dsl:1:2",NULL,&o,&e)){ spak_str s={0}; spak_json_canonical(o,&s,&e); printf("%s\n",spak_str_text(&s)); spak_str_free(&s); json_decref(o);} else printf("ERR %s\n",e.message);
    }
    lua_box_free(b);
    return done_testing();
}
