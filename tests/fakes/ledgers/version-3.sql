PRAGMA application_id = 1835234148;
PRAGMA user_version = 3;
BEGIN TRANSACTION;
CREATE TABLE claims (
        grant_id INTEGER NOT NULL REFERENCES grants (id) DEFERRABLE INITIALLY DEFERRED,
        destination ANY NOT NULL,
        source ANY NOT NULL,
        mode TEXT NOT NULL,
        state TEXT NOT NULL,
        volume TEXT REFERENCES volumes (id) DEFERRABLE INITIALLY DEFERRED,
        writable INTEGER NOT NULL CHECK (writable IN (0, 1)),
        reason ANY NOT NULL,
        hint ANY NOT NULL, conceded INTEGER NOT NULL DEFAULT 0 CHECK (conceded IN (0, 1)),
        PRIMARY KEY (grant_id, destination)
    ) STRICT, WITHOUT ROWID
    ;
INSERT INTO "claims" VALUES(1,'/data','/srv/web','private','ready','aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa',1,'','',0);
INSERT INTO "claims" VALUES(2,'/logs','/srv/web','ignore','unmanaged',NULL,1,'','',0);
CREATE TABLE counters (
        name TEXT PRIMARY KEY,
        value INTEGER NOT NULL CHECK (value > 0)
    ) STRICT, WITHOUT ROWID
    ;
INSERT INTO "counters" VALUES('next_grant',3);
CREATE TABLE grants (
        id INTEGER PRIMARY KEY CHECK (id > 0),
        container ANY NOT NULL,
        name ANY NOT NULL,
        level TEXT NOT NULL,
        origin TEXT NOT NULL,
        state TEXT NOT NULL CHECK (state <> 'free'),
        since REAL NOT NULL,
        shares_with ANY NOT NULL,
        group_name ANY NOT NULL,
        reservation ANY NOT NULL
    ) STRICT
    ;
INSERT INTO "grants" VALUES(1,'cccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccc','web','s0:c12,c900','adopted','quarantined',1764000100.0,'','','');
INSERT INTO "grants" VALUES(2,'dddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddd','web','s0:c5,c6,c30,c31','adopted','active',1764000000.25,'','team','');
CREATE TABLE groups (
        name ANY PRIMARY KEY NOT NULL,
        low INTEGER NOT NULL,
        high INTEGER NOT NULL,
        since REAL NOT NULL
    ) STRICT, WITHOUT ROWID
    ;
INSERT INTO "groups" VALUES('team',5,6,1764000002.0);
CREATE TABLE history (
        sequence INTEGER PRIMARY KEY,
        id INTEGER NOT NULL,
        container ANY NOT NULL,
        name ANY NOT NULL,
        level TEXT NOT NULL,
        origin TEXT NOT NULL,
        since REAL NOT NULL,
        shares_with ANY NOT NULL,
        group_name ANY NOT NULL,
        reservation ANY NOT NULL
    ) STRICT
    ;
CREATE TABLE turns (
        turn INTEGER PRIMARY KEY,
        pair INTEGER NOT NULL UNIQUE CHECK (pair BETWEEN 0 AND 523775)
    ) STRICT
    ;
CREATE TABLE volumes (
        id TEXT PRIMARY KEY,
        path ANY NOT NULL,
        device INTEGER NOT NULL,
        inode INTEGER NOT NULL,
        target TEXT NOT NULL,
        phase TEXT NOT NULL,
        since REAL NOT NULL,
        inodes INTEGER NOT NULL,
        skipped TEXT NOT NULL,
        detail ANY NOT NULL
    , left_out TEXT NOT NULL DEFAULT '[]') STRICT, WITHOUT ROWID
    ;
INSERT INTO "volumes" VALUES('aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa','/srv/web',64769,4711,'system_u:object_r:container_file_t:s0:c12,c900','labelled',1764000001.5,3,'{"device-node": 1}','','[]');
CREATE INDEX claims_by_volume ON claims (volume) WHERE volume IS NOT NULL;
COMMIT;
